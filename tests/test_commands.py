"""What a page says that one may type is understood; tests/test_tutorials.py runs some of it."""

import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence

import pytest

from cnntrain.cli.completion.line import CommandLine
from cnntrain.cli.main import VERBS
from cnntrain.errors import SpecError
from cnntrain.spec.build import build_provisional_spec, build_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.option_files import find_option_files
from cnntrain.spec.spec import MAY_CHANGE
from cnntrain.sweeps import sweep
from helpers.pages import (
    INLINE,
    PAGES,
    ROOT,
    join_lines,
    list_commands,
    name_page,
    read_blocks,
    take_words,
)

MISTAKE = re.compile(r"^\$ cnntrain (.+)\n(Error: .+\n(?: .+\n)*)", re.MULTILINE)
EXAMPLES = ("mine", "my_option", "=NAME")  # what a reader would add, or put in place of it
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
def test_mistakes_of_a_page_are_answered_so(page):
    for words, shown in MISTAKE.findall(page.read_text(encoding="utf-8")):
        with pytest.raises(SpecError) as answer:
            build_spec(compose_config(words.split()).config)
        assert shown == f"Error: {answer.value}\n"


OPTIONS = [b for page in PAGES for b in read_blocks(page) if b.title.startswith("my_conf/")]


@pytest.mark.parametrize("block", OPTIONS, ids=lambda block: block.title)
def test_option_that_a_page_writes_is_understood(block, tmp_path):
    file = tmp_path / block.title
    file.parent.mkdir(parents=True)
    file.write_text(block.text, encoding="utf-8")
    words = [f"{file.parent.name}={file.stem}"]
    build_provisional_spec(compose_config(words, str(tmp_path / "my_conf")).config)


TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
CODE = "\n".join(
    [*INLINE.findall(TEXT), *(join_lines(b.text) for page in PAGES for b in read_blocks(page))]
)


def test_extras_that_pages_name_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"(?:cnntrain|'\.)\[([\w,]+)\]", TEXT)
    extras = {extra for names in named for extra in names.split(",")}
    assert extras <= project["optional-dependencies"].keys()


def test_make_targets_that_pages_name_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make ([a-z-]+)", CODE, re.MULTILINE)
    assert set(targets) <= set(re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE))


def test_versions_that_pages_name_are_those_of_the_lock():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    named = set(re.findall(r"^pip .*$", CODE, re.MULTILINE))
    assert {word for line in named for word in line.split() if "==" in word} <= set(lock)


@pytest.mark.parametrize("verb", ["install", "wheel", "download"])
def test_flags_of_pip_that_pages_name_exist(verb):
    pytest.importorskip("pip")
    line = [sys.executable, "-m", "pip", verb, "--help"]
    shown = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    commands = re.findall(rf"^(?:\S+/)?pip {verb} (.+)$", CODE, re.MULTILINE)
    flags = {word.partition("=")[0] for line in commands for word in take_words(line)}
    assert commands
    assert {flag for flag in flags if flag.startswith("-")} <= set(re.findall(r"-[\w-]+", shown))
