"""README.md and docs/ are true: what they name exists, and every module has its line."""

import ast
import functools
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from cnntrain.cli.completion.line import CommandLine
from cnntrain.cli.main import VERBS
from cnntrain.errors import SpecError
from cnntrain.spec.build import build_provisional_spec, build_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.option_files import find_option_files
from cnntrain.spec.spec import MAY_CHANGE
from cnntrain.sweeps import sweep
from helpers.pages import INLINE, PAGES, ROOT, list_commands, name_page, read_blocks

PACKAGE = ROOT / "cnntrain"
# Options are many, and named by the pages of models and settings; private parts by their ending.
FOLDERS_OF_OPTIONS = ("models", "data/datasets", "data/augmentations")
# `data/pipeline.py`, `data/pipeline.py:make_generator`, `tests/test_docs.py`
PLACE = re.compile(r"(?<![\w/<*])((?:\w+/)*\w+\.py)\b(?::(\w+(?:\.\w+)*))?")
MISTAKE = re.compile(r"^\$ cnntrain (.+)\n(Error: .+\n(?: .+\n)*)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PICTURES = sorted((ROOT / "docs" / "pictures").iterdir())
# What a reader would add, or put in place of it.
EXAMPLES = ("mine", "test_mine", "my_option", "=NAME")


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


# The texts of --help are written from the code, and are usage rather than commands.
HELP_TEXTS = ROOT / "docs" / "reference" / "commands.md"


@pytest.mark.parametrize("page", [page for page in PAGES if page != HELP_TEXTS], ids=name_page)
def test_commands_of_a_page_are_understood(page):
    """Verbs, flags, options, settings and their values are as a page says, but for mistakes."""
    mistakes = [words.split() for words, _ in MISTAKE.findall(page.read_text(encoding="utf-8"))]
    commands = [words for words in list_commands(page) if words not in mistakes]
    assert not list(filter(None, (explain_command(tuple(words)) for words in commands)))


@functools.cache  # many stand on several pages
def explain_command(words: Sequence[str]) -> str | None:
    """Return the mistake in a command, if there is one."""
    if any(example in word for word in words for example in EXAMPLES):
        return None
    try:
        check_command(CommandLine(words, ""))
    except SpecError as error:
        return f"cnntrain {' '.join(words)}: {error}"
    return None


def check_command(command: CommandLine) -> None:
    """Raise SpecError if a command is not understood: by the parser of its verb, or as a spec."""
    first = command.before[0]
    if not ("=" in first or first.startswith("-") or first in VERBS):
        raise SpecError(f"cnntrain {first}", VERBS)
    flags = [name for argument in command.arguments for name in argument.names]
    if unknown := [w for w in command.before if w.startswith("--") and w not in flags]:
        raise SpecError(unknown[0], flags)
    words = [word for word in command.before if "=" in word and not word.startswith("-")]
    if command.is_sweep:
        check_sweep(words)
    elif command.verb == "resume":
        check_resumed_settings(words)
    elif command.verb == "fit":  # whose photos decide the network
        build_provisional_spec(compose_config(["model=mobilenet", *words]).config)
    elif command.verb not in ("list", "look", "predict"):  # which take knobs of one network
        named = [word for word in command.bare_words if word in find_option_files("dataset")]
        if command.verb == "data":
            words = [*(f"dataset={name}" for name in named), *words]
        build_provisional_spec(compose_config(words).config)


def check_sweep(words: Sequence[str]) -> None:
    """Raise SpecError for a mistake that a sweep finds before its first job, in the outer jobs."""
    expand = sweep.expand_jobs
    with pytest.MonkeyPatch.context() as patch:
        for name in ("check_machine", "build_launcher", "import_optuna"):
            patch.setattr(sweep, name, lambda *words: None)
        patch.setattr(sweep, "expand_jobs", lambda *words: [(jobs := expand(*words))[0], jobs[-1]])
        patch.setattr(sweep.Sweep, "begin", lambda *words: 1 / 0)  # all checks are behind it
        with pytest.raises(ZeroDivisionError):
            sweep.run_sweep(words, None)


def check_resumed_settings(words: Sequence[str]) -> None:
    """Raise SpecError for a setting that neither a run nor a sweep may change when it goes on."""
    for key in (word.partition("=")[0] for word in words):
        if key not in MAY_CHANGE and not key.startswith(("sweep.", "hydra.")):
            raise SpecError(key, MAY_CHANGE)


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_links_of_a_page_lead_somewhere(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


OPTIONS = [b for page in PAGES for b in read_blocks(page) if b.title.startswith("my_conf/")]


@pytest.mark.parametrize("block", OPTIONS, ids=lambda block: block.title)
def test_option_that_a_page_writes_is_understood(block, tmp_path):
    file = tmp_path / block.title
    file.parent.mkdir(parents=True)
    file.write_text(block.text, encoding="utf-8")
    words = [f"{file.parent.name}={file.stem}"]
    build_provisional_spec(compose_config(words, str(tmp_path / "my_conf")).config)


def test_extras_and_targets_that_pages_name_exist():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.findall(r"(?:cnntrain|'\.)\[(\w+)\]", text)
    assert set(extras) <= project["optional-dependencies"].keys()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    blocks = [block.text for page in PAGES for block in read_blocks(page)]
    targets = re.findall(r"^make ([a-z-]+)", "\n".join([*INLINE.findall(text), *blocks]), re.M)
    assert set(targets) <= set(re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE))


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


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_mistakes_of_a_page_are_answered_so(page):
    for words, shown in MISTAKE.findall(page.read_text(encoding="utf-8")):
        with pytest.raises(SpecError) as answer:
            build_spec(compose_config(words.split()).config)
        assert shown == f"Error: {answer.value}\n"
