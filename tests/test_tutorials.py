"""The pages for beginners do what they say: their snippets are run, and so are their commands."""

import contextlib
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
SNIPPET = re.compile(r"^```python\n(.*?)^```\n+(?:^```\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
SCRIPT = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("name", "fewest"), [("from_a_notebook", 6), ("exact", 2)])
def test_snippets_print_what_the_page_shows(name, fewest):
    """They share their names, from the top of the page to its end."""
    names = {}
    snippets = SNIPPET.findall((DOCS / f"{name}.md").read_text(encoding="utf-8"))
    assert len(snippets) >= fewest
    for code, expected in snippets:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, names)
        assert printed.getvalue() == expected, code


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["tutorial/first_run", "tutorial/photos", "tutorial/sweep", "exact"]
)
def test_commands_of_a_page_run(name, tmp_path, request):
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    if name == "tutorial/photos":
        archive = request.getfixturevalue("archives") / "cats_and_dogs_700.zip"
        with zipfile.ZipFile(archive) as photos:
            photos.extractall(tmp_path)
        (tmp_path / "cats_and_dogs" / "validation").rename(tmp_path / "photos")
    script = "\n".join(["set -euxo pipefail", *SCRIPT.findall(page)])
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=os.environ | {"PATH": tools},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    if name == "exact":
        whole, killed = done.stdout.splitlines()[-2:]
        assert len(whole) > 64
        assert whole == killed
