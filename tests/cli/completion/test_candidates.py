"""What the Tab key offers: every verb, option, setting, knob and word of the catalogue."""

import contextlib
import subprocess
import sys

import pytest
import yaml

from cnntrain.cli.completion.candidates import PATH_FLAGS, complete_line
from cnntrain.cli.completion.flags import read_arguments
from cnntrain.cli.completion.settings import PATHS, list_annotated_words
from cnntrain.cli.export import ALL_FORMATS
from cnntrain.cli.main import VERBS
from cnntrain.errors import SpecError
from cnntrain.spec.knobs import Record, convert_value
from cnntrain.spec.option_files import (
    CHOICES,
    CONF,
    find_option_files,
    list_settings,
    load_option,
    load_shared_knobs,
)
from cnntrain.spec.signatures import (
    GROUPS,
    list_components,
    read_component_knobs,
    read_shared_knobs,
)
from cnntrain.spec.spec import SETTINGS

OPTIONS = [(group, option) for group in GROUPS for option in find_option_files(group)]
OPTION_NAMES = [f"{group}={option}" for group, option in OPTIONS]


def offered(line: str) -> list[str]:
    return list(complete_line(f"cnntrain {line}").words)


def test_verbs_groups_and_settings_are_offered_at_first():
    words = {word.rstrip("=.") for word in offered("")}
    assert words >= {*VERBS, *CHOICES, *list_settings()}


@pytest.mark.parametrize("group", CHOICES)
def test_every_option_of_a_group_is_offered_with_what_it_is(group):
    words = complete_line(f"cnntrain {group}=").words
    assert list(words) == [f"{group}={file.stem}" for file in sorted((CONF / group).glob("*.yaml"))]
    assert all(words.values())


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=OPTION_NAMES)
def test_every_knob_of_an_option_is_offered(group, option):
    stated = {**load_option(find_option_files(group)[option]), **load_shared_knobs(group)}
    words = offered(f"{group}={option} {group}.")
    assert {word.rstrip("=.") for word in words} == {f"{group}.{k}" for k in stated if k != "name"}
    records = {f"{group}.{knob}." for knob, value in stated.items() if isinstance(value, dict)}
    assert {word for word in words if word.endswith(".")} == records


def list_admitted(words, annotation):
    """Those of some words that a setting admits, as the command line reads them."""
    admitted = []
    for word in words:
        with contextlib.suppress(SpecError):
            convert_value(yaml.safe_load(word), annotation, "setting")
            admitted.append(word)
    return admitted


@pytest.mark.parametrize("group", GROUPS)
def test_words_that_are_offered_for_a_knob_are_those_that_it_admits(group):
    for name in list_components(group):
        knobs = read_shared_knobs(group) | read_component_knobs(group, name)
        for knob, annotation in knobs.items():
            if not isinstance(annotation, Record) and knob not in GROUPS:
                words = list(list_annotated_words(annotation, None))
                assert list_admitted(words, annotation) == words, knob
                assert set(words) >= set(list_admitted(["true", "false", "null"], annotation)), knob


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if setting not in PATHS])
def test_truth_and_null_are_offered_where_a_setting_admits_them(setting):
    words = {word.rpartition("=")[2] for word in offered(f"{setting}=")}
    truth = ["true", "false", "null"]
    assert words & {*truth} == set(list_admitted(truth, SETTINGS[setting]))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mod", ["model="]),
        ("optimizer.learning_rate=", []),
        ("optimizer=sgd optimizer.nesterov=t", ["optimizer.nesterov=true"]),
        ("precision=mixed_b", ["precision=mixed_bfloat16"]),
        ("optimizer=adam optimizer.nes", []),
        ("experiment=vgg16_cifar10 optimizer.nes", ["optimizer.nesterov="]),
        ("experiment=vgg16_cifar10 optimizer=adam optimizer.nes", []),
        ("batch_size=", ["batch_size=auto"]),
        ("loss.label", ["loss.label_smoothing="]),
        ("schedule.plateau.pat", ["schedule.plateau.patience="]),
        ("finetune=two_phase finetune.schedule=cos", ["finetune.schedule=cosine"]),
        ("-m initializer=zeros,he_n", ["initializer=zeros,he_normal"]),
        ("-m sweep.on_error=", ["sweep.on_error=continue", "sweep.on_error=stop"]),
        ("-m hydra/launcher=ra", ["hydra/launcher=ray"]),
        ("initializer=zeros,he_n", []),
        ("export RUN --format ", list(ALL_FORMATS)),
        ("evaluate RUN --split va", ["valid"]),
        ("evaluate RUN mod", []),
        ("resume RUN ep", ["epochs="]),
        ("resume RUN model", ["model.weights_dir="]),
        ("data ver", ["verify"]),
        ("data verify cifar100_", ["cifar100_coarse"]),
        ("data verify digits cifar100_", []),
        ("list fine", ["finetune"]),
        ("list model lenet5_", ["lenet5_1998"]),
        ("reproduce lenet5_m", ["lenet5_mnist"]),
        ("completion z", ["zsh"]),
        ("-c ", ["job"]),
        ("predict --model lenet5_", ["lenet5_1998"]),
        ("'dataset.folder=my photos' model=lenet5_", ["model=lenet5_1998"]),
        ("'mod", ["model="]),
    ],
)  # fmt: skip
def test_what_a_line_may_become(line, words):
    assert offered(line) == words


@pytest.mark.parametrize(
    "line",
    ["dataset.folder=", "init_from=", "init_from=out", "model=mobilenet model.weights=", "fit ",
     "fit photos", "predict a_run cat", "look a_run ", "report ../a", "evaluate RUN --output ",
     "--config-dir ", "data preview ./"],
)  # fmt: skip
def test_a_path_may_stand_there(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complete_line(f"cnntrain {line}").else_path
    assert offered(line) == []


@pytest.mark.parametrize("line", ["epochs=", "optimizer.learning_rate=", "mod", "plan ", "plan x"])
def test_no_path_may_stand_there(line):
    assert not complete_line(f"cnntrain {line}").else_path


def test_runs_and_sweeps_are_offered_the_newest_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, mark in (("1", "run.json"), ("2", "sweep.yaml"), ("3", "notes.txt")):
        (tmp_path / "outputs" / name).mkdir(parents=True)
        (tmp_path / "outputs" / name / mark).touch()
    runs = ["outputs/2", "outputs/1"]
    for verb in ("report", "compare", "evaluate", "resume", "export", "predict", "look"):
        assert offered(f"{verb} ") == runs
    assert offered("compare outputs/1 ") == runs
    assert offered("export outputs/1 out") == []
    assert offered("fit ") == []


def test_options_of_the_users_own_are_offered(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# My own.\nname: lenet5\n")
    words = complete_line(f"cnntrain --config-dir {tmp_path} model=min").words
    assert words == {"model=mine": "My own."}
    assert offered(f"--config-dir {tmp_path}/none model=min") == []


def test_every_flag_that_takes_a_path_is_one_of_a_verb():
    modules = [(module, "main") for module in VERBS.values() if module]
    flags = {name for module in modules for a in read_arguments(*module) for name in a.names}
    assert set(PATH_FLAGS) <= flags


def test_the_answer_loads_nothing_that_takes_long():
    """Hydra, NumPy and TensorFlow each take longer than the whole answer."""
    code = (
        "import sys; from cnntrain.cli.main import run_verb; "
        "run_verb(['completion', '--answer', 'cnntrain model=vgg16 model.']); "
        "run_verb(['completion', '--answer', 'cnntrain evaluate --']); "
        "sys.exit(str({'hydra', 'numpy', 'keras', 'tensorflow', 'rich.table'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "model.hidden=\n" in done.stdout
    assert "--calibrate\n" in done.stdout
    assert done.stderr == "set()\n"


def test_the_command_answers_and_prints_scripts(answer):
    assert answer("completion", "--answer", "cnntrain mod").stdout == "model=\n"
    assert answer("completion", "--answer", "cnntrain dataset.folder=").returncode == 1
    assert answer("completion", "--answer", "cnntrain epochs=").returncode == 0
    assert answer("completion", "--answer", "").returncode == 0
    assert "complete -F _cnntrain cnntrain" in answer("completion", "bash").stdout
    mistake = answer("completion", "tcsh")
    assert (mistake.returncode, "bash, zsh, fish" in mistake.stderr) == (2, True)
    assert answer("completion").returncode == 2
