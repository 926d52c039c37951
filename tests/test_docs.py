"""README.md and docs/ are true: what they name exists, and every module has its line."""

import ast
import re
from pathlib import Path

import pytest

from helpers.pages import PAGES, ROOT, name_page

PACKAGE = ROOT / "cnntrain"
# Options are many, and named by the pages of models and settings; private parts by their ending.
FOLDERS_OF_OPTIONS = ("models", "data/datasets", "data/augmentations")
# `data/pipeline.py`, `data/pipeline.py:make_generator`, `tests/test_docs.py`
PLACE = re.compile(r"(?<![\w/<*])((?:\w+/)*\w+\.py)\b(?::(\w+(?:\.\w+)*))?")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PICTURES = sorted((ROOT / "docs" / "pictures").iterdir())
EXAMPLES = ("mine", "test_mine", "my_option")  # what a reader would add


def find_file(place: str) -> Path | None:
    """The file that a page names, from the top of the repository or of the package."""
    found = [folder / place for folder in (ROOT, PACKAGE) if (folder / place).is_file()]
    return found[0] if found else None


def list_definitions(file: Path) -> set[str]:
    """What a module defines: functions, classes, `Class.method`, and constants."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
            names |= {f"{node.name}.{item.name}" for item in methods}
        if isinstance(node, ast.Assign):
            names |= {ast.unparse(target) for target in node.targets}
        if isinstance(node, ast.AnnAssign):
            names.add(ast.unparse(node.target))
    return names


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_files_and_functions_that_a_page_names_exist(page):
    missing = []
    for place, definition in PLACE.findall(page.read_text(encoding="utf-8")):
        file = find_file(place)
        if Path(place).stem in EXAMPLES:
            continue
        if file is None or (definition and definition not in list_definitions(file)):
            missing.append(f"{place}:{definition}" if definition else place)
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_links_of_a_page_lead_somewhere(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda file: file.name)
def test_picture_is_small_shown_and_whole_in_itself(picture):
    """`make pictures` writes them; a terminal's SVG must not ask a server for its font."""
    assert picture.stat().st_size < 200_000
    assert any(f"pictures/{picture.name})" in page.read_text(encoding="utf-8") for page in PAGES)
    if picture.suffix == ".svg":
        text = picture.read_text(encoding="utf-8")
        assert re.findall(r"https?://[^\s\"<]+", text) == ["http://www.w3.org/2000/svg"]


def test_every_module_has_a_line_in_the_page_of_its_room():
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/design").glob("*.md"))
    files = {file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py")}
    named = {
        file
        for file in files
        if f"| `{file.as_posix()}` |" in text
        or file.stem == "__init__"
        or file.stem.endswith("_private")
        or file.parent.as_posix() in FOLDERS_OF_OPTIONS
    }
    assert not sorted(file.as_posix() for file in files - named)


def test_files_that_the_code_and_the_options_name_exist():
    folders = [PACKAGE, *(ROOT / folder for folder in ("docs", "tests", "scripts"))]
    places = [file.as_posix() for folder in folders for file in folder.rglob("*.*")]
    stale = [
        (file.name, named)
        for file in (*PACKAGE.rglob("*.py"), *(ROOT / "conf").rglob("*.yaml"))
        for named in re.findall(r"[\w/]+\.(?:py|md)\b", file.read_text(encoding="utf-8"))
        if not any(place.endswith(f"/{named}") for place in places)
    ]
    assert not stale


def test_the_readme_is_a_first_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200
