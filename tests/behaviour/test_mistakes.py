"""A mistake is answered once: given, expected, try; exit code 2, and nothing is left behind."""

import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cnntrain.cli.main import main

# The mistakes themselves are data: `words` of the command line, a part of what the answer says was
# `given`, a part of what was `expected`, and all that it says to `try`; what is left out may be
# anything.
FOLDER = Path(__file__).parent / "mistakes"


def load_mistakes(name):
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


# Too long to be written down.
ENDLESS = {
    "warm-up without an end": (f"'schedule.warmup={'9' * 400} steps'", "warmup", "steps"),
    "brackets without an end": (f"model.filters={'[' * 3000}{']' * 3000}", "3000 deep", "30"),
    "more digits than Python reads": (f"seed={'9' * 5000}", "cannot be read", "key=value"),
}
MISTAKES = (
    load_mistakes("overrides") | load_mistakes("spec") | load_mistakes("verbs")
    | {name: dict(zip(("words", "given", "expected"), texts, strict=True))
       for name, texts in ENDLESS.items()}
)  # fmt: skip
WITH_DATA = load_mistakes("data")


@dataclass
class Answer:
    given: str
    expected: str
    hint: str | None


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """The current directory: a user's options, a run, and a file."""
    monkeypatch.chdir(tmp_path)
    deep = f"name: lenet5\nfilters: {'[' * 900}{']' * 900}\nhidden: [5, 4]\n"
    for name, text in (load_mistakes("files") | {"mine/model/deep.yaml": deep}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    latin = "# für später\nname: lenet5\n".encode("latin-1")
    (tmp_path / "mine" / "model" / "latin.yaml").write_bytes(latin)
    return tmp_path


@pytest.fixture
def refused(workplace, capsys):
    """Run a command line that must be refused: refused("epochs=0") -> Answer."""

    def run(command: str) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command))
        streams = capsys.readouterr()
        assert ended.value.code == 2, streams.err
        assert "Traceback" not in streams.err
        return parsed(streams.err)

    return run


def parsed(text: str) -> Answer:
    """The three lines of an answer: given, expected, and maybe what to try."""
    assert text.count("Error: ") == 1, text
    given, expected, *rest = text[text.index("Error: ") :].splitlines()
    assert expected.startswith("  expected  "), text
    assert len(rest) < 2, text
    assert all(line.startswith("  try       ") for line in rest), text
    assert not re.search(r"\b(None|True|False)\b", text), "Python's words, not YAML's"
    return Answer(
        given.removeprefix("Error: "),
        expected.removeprefix("  expected  "),
        rest[0].removeprefix("  try       ") if rest else None,
    )


def assert_says(answer: Answer, mistake: dict[str, str]) -> None:
    assert mistake.get("given", "") in answer.given
    assert mistake.get("expected", "") in answer.expected
    assert mistake.get("try", answer.hint) == answer.hint


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_answered_before_anything_is_made(workplace, refused, mistake):
    before = everything(workplace)
    answer = refused(mistake["words"])
    assert_says(answer, mistake)
    assert answer.expected != "options and settings that fit together", "says nothing"
    assert everything(workplace) == before


@pytest.mark.parametrize("command", load_mistakes("suggestions"))
def test_suggestion_when_followed_is_accepted(refused, capsys, command):
    hint = refused(command).hint
    if hint is not None:
        shown(hint.removeprefix("cnntrain "), capsys)


def test_choice_of_a_flag_is_refused_like_all_else(refused):
    answer = refused("evaluate taken --split tes")
    assert answer == Answer("--split is tes", "one of test, valid, train", "--split test")
    assert refused("evaluate taken --nonsense").expected.endswith("cnntrain evaluate --help")


def test_word_without_a_key_is_not_taken_for_one(refused):
    answer = refused("plan dataset=image_folder dataset.folder=my photos")
    assert answer.given == "'photos' cannot be read"
    assert "'dataset.folder=\"my photos\"'" in answer.hint
    assert "photos=" not in answer.hint


def test_answer_fits_three_lines_of_a_terminal(refused):
    for command in ("model=xyz", "dataset=xyz", "nosuch=1", "dataset.nosuch=1", "lr=0.1"):
        assert len(f"  expected  {refused(command).expected}") <= 3 * 80
    assert refused("model=xyz").expected.endswith("in all): cnntrain list model")


@pytest.mark.parametrize("option", ["lacking", "undecided"])
def test_knob_that_an_option_lacks_can_be_given_as_suggested(refused, capsys, option):
    hint = refused(f"--config-dir mine model={option}").hint
    assert hint.endswith("=…")
    given = hint.replace("…", "[8,9]")
    assert [8, 9] in shown(f"--config-dir mine model={option} {given}", capsys)["model"].values()


def shown(command: str, capsys) -> dict:
    """The settings that `--cfg job` shows for a command line, which must be right."""
    with pytest.raises(SystemExit) as ended:
        main(["--cfg", "job", *shlex.split(command)])
    streams = capsys.readouterr()
    assert ended.value.code == 0, streams.err
    return yaml.safe_load(streams.out)


def test_settings_of_a_sweep_are_not_trained_when_they_should_be_shown(workplace):
    words = "-m seed=1,2 --cfg job dataset=image_folder dataset.folder=nowhere"
    before = everything(workplace)
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(words))
    assert ended.value.code in (0, 2)
    assert everything(workplace) == before


def test_list_helps_when_asked(workplace, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["list", "--help"])
    assert ended.value.code == 0
    assert "cnntrain list" in capsys.readouterr().out


def test_option_that_is_no_text_does_not_hide_the_others_from_list(workplace, capsys):
    with pytest.raises(SystemExit):
        main(["list", "model", "--config-dir", "mine"])
    assert "right" in "".join(capsys.readouterr())


# With data: TensorFlow is loaded, once for all of these.


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Folders of tiny images with something wrong in each, and wrong archives."""
    root = tmp_path_factory.mktemp("data")
    for name in ("file", "notes"):
        (root / name).write_text("not a folder")
    (root / "nothing").mkdir()
    images(root / "animals", "cat", "dog")
    images(root / "one_class", "cat")
    images(root / "no_class")
    images(root / "empty_class", "cat", "dog")
    (root / "empty_class" / "emu").mkdir()
    images(root / "one_each", "cat", "dog", count=1)
    for part, names in {"train": ("cat", "dog"), "test": ("cat", "dog", "emu")}.items():
        images(root / "more_in_test" / part, *names)
    for part, names in {"train": ("cat", "dog"), "test": ("cat",)}.items():
        images(root / "fewer_in_test" / part, *names)
    for name in ("cat", "dog"):
        (root / "texts" / name).mkdir(parents=True)
        (root / "texts" / name / "notes.txt").write_text("not an image")
    parts = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in KINDS]
    weights(root / "modern.weights.h5")
    whole = (root / "modern.weights.h5").read_bytes()
    (root / "modern.h5").write_bytes(whole)
    (root / "half.weights.h5").write_bytes(whole[: len(whole) // 2])
    (root / "text.h5").write_text("no weights")
    for folder, names in {"wrong_archives": parts, "three_archives": parts[:3]}.items():
        (root / folder).mkdir()
        for name in names:
            (root / folder / name).write_bytes(b"not an archive")
    return root


KINDS = ("images-idx3", "labels-idx1")


def weights(file: Path) -> None:
    """Write the random weights of a MobileNet with alpha=0.25 in the format of Keras 3."""
    import keras

    shape = (32, 32, 3)
    network = keras.applications.MobileNet(shape, 0.25, include_top=False, weights=None)
    network.save_weights(file)


def images(folder: Path, *class_names: str, count: int = 10) -> None:
    """Write `count` images of noise for each class."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in class_names:
        (folder / name).mkdir()
        for number in range(count):
            pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Send every request to a port of this machine where nobody listens; nothing is cached."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for scheme in ("http", "https", "all"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv(f"{scheme}_proxy".upper(), "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("mistake", WITH_DATA.values(), ids=WITH_DATA)
@pytest.mark.usefixtures("no_network")
def test_mistake_that_the_data_shows_is_answered_and_leaves_no_run(
    workplace, refused, data, mistake
):
    mistake = {part: text.format(data=data) for part, text in mistake.items()}
    assert_says(refused(mistake["words"]), mistake)
    assert runs_in(workplace) == []


def runs_in(workplace: Path) -> list[Path]:
    """The directories of runs, whole or half-made, that were not there before."""
    outputs = list((workplace / "outputs").glob("*"))
    return outputs + [path for path in workplace.rglob("run.json") if path.parent.name != "taken"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_may_not_be_read_is_answered(workplace, refused):
    images(workplace / "animals", "cat", "dog")
    (workplace / "animals" / "cat").chmod(0)
    try:
        answer = refused("dataset=image_folder dataset.folder=animals")
    finally:
        (workplace / "animals" / "cat").chmod(0o755)
    assert "animals/cat cannot be read" in answer.given
    assert runs_in(workplace) == []


def test_refused_run_leaves_the_files_of_an_existing_folder_alone(workplace, refused):
    precious = [workplace / "thesis" / name for name in ("spec.yaml", "train.log", "notes.txt")]
    precious[0].parent.mkdir()
    for file in precious:
        file.write_text("years of work")
    refused("hydra.run.dir=thesis steps_per_epoch=5000")
    assert [file.read_text() for file in precious if file.exists()] == ["years of work"] * 3


def test_refused_run_leaves_no_directory_above_its_own(workplace, refused):
    refused("hydra.run.dir=new/deeper/run steps_per_epoch=5000")
    assert not (workplace / "new").exists()


# The real command line.


def test_refusal_goes_to_standard_error_with_exit_code_2_at_once(command, tmp_path):
    began = time.perf_counter()
    done = command("epochs=0")
    seconds = time.perf_counter() - began
    assert (done.returncode, done.stdout) == (2, "")
    assert parsed(done.stderr) == Answer("epochs is 0", "a whole number from 1 to 2147483647", None)
    assert everything(tmp_path) == set()
    assert seconds < 5, "under 2 s where nothing else runs"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--help", 0),
        ("--version", 0),
        ("list", 0),
        ("list --json", 0),
        ("--cfg job", 0),
        ("model=lenet", 2),
        ("+banana=1", 2),
        ("model=vgg16 model.dropout=2", 2),
        ("optimizer.clip_value=1 optimizer.clip_norm=1", 2),
        ("-m seed=1,-1", 2),
    ],
)
def test_answer_that_needs_no_data_loads_no_tensorflow(words, code, tmp_path):
    program = (
        "import sys\n"
        "from cnntrain.cli.main import main\n"
        "try:\n"
        f"    main({shlex.split(words)!r})\n"
        "except SystemExit as ended:\n"
        "    loaded = {'tensorflow', 'keras'} & set(sys.modules)\n"
        "    sys.exit(f'loaded {loaded}' if loaded else ended.code)\n"
    )
    line = [sys.executable, "-c", program]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert everything(tmp_path) == set()
