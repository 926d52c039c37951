"""README.md and docs/ are true: what they name exists, and every module has its line."""

import ast
import re
from pathlib import Path

import pytest

from cnntrain.cli.main import VERBS
from cnntrain.errors import SpecError
from cnntrain.spec.build import build_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.option_files import CHOICES, find_option_files

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cnntrain"
FIRST_PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")]
PAGES = [*FIRST_PAGES, *sorted((ROOT / "docs").rglob("*.md"))]
# Options are many, and named by the pages of models and settings; private parts by their ending.
FOLDERS_OF_OPTIONS = ("models", "data/datasets", "data/augmentations")
# `data/pipeline.py`, `data/pipeline.py:make_generator`, `tests/test_docs.py`
PLACE = re.compile(r"(?<![\w/<*])((?:\w+/)*\w+\.py)\b(?::(\w+(?:\.\w+)*))?")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^[`$ ]*(?:KERAS_BACKEND=jax )?cnntrain ([^`#\\\n]+)", re.MULTILINE)
MISTAKE = re.compile(r"^\$ cnntrain (.+)\n(Error: .+\n(?: .+\n)*)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
EXAMPLES = ("mine", "test_mine", "my_option")  # what a reader would add


def name_page(page: Path) -> str:
    """A page as it is known here, and by pytest."""
    return page.relative_to(ROOT).as_posix()


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
def test_verbs_and_options_that_a_page_names_exist(page):
    unknown = []
    code = "\n".join(CODE.findall(page.read_text(encoding="utf-8")))
    for command in COMMAND.findall(code):
        first, *_ = words = command.split()
        if re.fullmatch("[a-z]+", first) and first not in VERBS:
            unknown.append(f"cnntrain {first}")
        for group, option in re.findall(r"\b([a-z]+)=([a-z]\w*)(?=[\s,]|$)", " ".join(words)):
            if group in CHOICES and option not in (*find_option_files(group), *EXAMPLES):
                unknown.append(f"{group}={option}")
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_links_of_a_page_lead_somewhere(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


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


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_mistakes_of_a_page_are_answered_so(page):
    for words, shown in MISTAKE.findall(page.read_text(encoding="utf-8")):
        with pytest.raises(SpecError) as answer:
            build_spec(compose_config(words.split()).config)
        assert shown == f"Error: {answer.value}\n"
