"""An ejected script ends with the weights of its run, bit for bit, and is pleasant to read."""

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np
import pytest

from cnntrain.eject.inlining import Inliner
from cnntrain.eject.script import write_script
from cnntrain.eject.settings import list_obstacles, open_ejectable_run
from cnntrain.eject.sources import Place
from cnntrain.errors import SpecError

# Runs a file where cnntrain, and what only it needs, cannot be imported.
ALONE = """
import runpy, sys
sys.modules |= dict.fromkeys(["cnntrain", "hydra", "omegaconf"])
runpy.run_path(sys.argv[1], run_name="__main__")
"""
CIFAR = ("dataset=cifar10", "batch_size=20", "log_every=100")
RUNS = {
    "cnn": ("model=cnn_cifar", "augmentation=flip_crop", "ema_decay=0.9", "dataset.limit=200",
            "epochs=2"),
    "resnet": ("model=resnet20_v1", "schedule=step", "optimizer=sgd", "optimizer.l2=1e-4",
               "augmentation=shift_flip", "normalisation=pixel_mean", "dataset.limit=100",
               "epochs=4"),
    "vgg": ("model=vgg11", "model.hidden=32", "augmentation=mixup", "optimizer=adamw",
            "dataset.limit=100", "epochs=2"),
    "mobilenet": ("model=mobilenet", "model.alpha=0.25", "model.weights=imagenet",
                  "model.upsample=2", "model.head=[0.5]", "finetune=head", "schedule=plateau",
                  "dataset.limit=100", "epochs=3"),
}  # fmt: skip


def read_weights(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a `.keras` file by name; Keras is not asked."""
    with zipfile.ZipFile(file) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    names = []
    with h5py.File(content) as weights:
        weights.visit(names.append)
        return {n: weights[n][()] for n in names if isinstance(weights[n], h5py.Dataset)}


def train_alone(script: Path, folder: Path, **environment: str) -> str:
    """Run a script in a process without cnntrain; return what it prints."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(script)], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def check_readable(script: Path) -> None:
    """Under 600 lines, in the style of ruff, with a docstring for everything but a few helpers."""
    text = script.read_text()
    assert len(text.splitlines()) < 600
    assert not re.search(r"^\s*(import|from) cnntrain", text, re.MULTILINE)
    assert text.count('"""') // 2 >= text.count("\ndef ") - 2
    ruff = shutil.which("ruff") or Path(sys.executable).with_name("ruff")
    for words in (["format", "--check"], ["check", "--select=E,F,I,UP"]):
        command = [ruff, *words, "--line-length=100", "--isolated", "--no-cache", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def check_same_weights(run: Path, folder: Path) -> None:
    for name in ("final", "best", "ema"):
        if (run / f"{name}.keras").exists():
            ours, theirs = (read_weights(place / f"{name}.keras") for place in (run, folder))
            assert ours.keys() == theirs.keys()
            assert all(np.array_equal(ours[key], theirs[key]) for key in ours), name


@pytest.fixture(scope="module")
def script(digits):
    return write_script(open_ejectable_run(str(digits.folder)))


def eject(run: Path, *words: str) -> Path:
    assert import_module("cnntrain.cli.eject").main([str(run), *words]) == 0
    return next((run / "eject").iterdir())


def test_script_of_lenet5_on_digits_ends_with_the_same_weights(digits, tmp_path, capsys):
    script = eject(digits.folder)
    assert f"python {script} trains it again" in capsys.readouterr().out
    check_readable(script)
    settings = {"floatx": "float64", "epsilon": 1e-3, "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))  # of its user, without effect
    said = train_alone(script, tmp_path / "alone", KERAS_HOME=str(tmp_path))
    assert "The last weights are those of the run, bit for bit." in said
    check_same_weights(digits.folder, tmp_path / "alone")
    with pytest.raises(SpecError, match="is there already"):
        eject(digits.folder)
    if sys.platform == "linux":  # a folder in which even root makes no file
        with pytest.raises(SpecError, match="/proc cannot be written to"):
            eject(digits.folder, "--output=/proc/script.py")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_script_ends_with_the_same_weights(name, training, cifar10_dir, weights_dir, tmp_path):
    cache = tmp_path / "keras" / "models"
    cache.mkdir(parents=True)
    for file in weights_dir.glob("*.h5"):
        (cache / file.name).symlink_to(file)
    places = (f"data_dir={cifar10_dir}", f"weights_dir={weights_dir}")
    run = training(*CIFAR, *RUNS[name], *places).folder
    script = eject(run)
    check_readable(script)
    said = train_alone(script, tmp_path / "alone", KERAS_HOME=str(cache.parent))
    assert "The last weights are those of the run, bit for bit." in said
    check_same_weights(run, tmp_path / "alone")


def test_script_of_other_settings_says_that_its_weights_are_others(
    script, tmp_path, monkeypatch, capsys
):
    """A seed of another value: the promise at the end is checked, and not only printed."""
    text = script.format_text()
    assert "SEED = 0 " in text
    text = text.replace("SEED = 0 ", "SEED = 1 ").replace("TOTAL_STEPS = ", "TOTAL_STEPS = 1 or ")
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "other.py", "exec"), {"__name__": "__main__"})
    assert "The last weights are not those of the run" in capsys.readouterr().out


def test_script_has_what_the_run_used_and_no_more(script):
    text = script.format_text()
    assert "keras.optimizers.Adam(" in text
    assert "half a cosine" in text
    for other in ("WeightAverage", "Plateau", "tensorflow_datasets", "augment(", "BatchNorm"):
        assert other not in text
    settings = "\n".join(dict(script.parts)["Settings"])
    for name in re.findall(r"^([A-Z_0-9]+) = ", settings, re.MULTILINE):
        assert len(re.findall(rf"\b{name}\b", text)) > 1


def test_notebook_has_the_code_of_the_script_in_cells(script):
    from cnntrain.eject.notebook import format_notebook

    notebook = json.loads(format_notebook(script))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    code = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert len(code) == len(script.parts)
    own = "\n\n".join([code[0], "\n\n\n".join(code[1:])])
    assert own in re.sub(r"# %% .*\n", "", script.format_text())
    texts = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown"]
    assert "## The network" in texts


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["optimizer=muon"], "optimizer=muon"),
        (["accumulate=2"], "accumulate"),
        (["refit=true"], "refit"),
        (["dataset.folds=5", "dataset.fold=0"], "dataset.folds"),
        (["finetune=layer_wise"], "finetune=layer_wise"),
        (["augmentation=compose"], "augmentation=compose"),
        (["monitor=valid.macro_f1"], "monitor=valid.macro_f1"),
        (["dataset.resize=pad"], "dataset.resize=pad"),
        (["dataset=cifar10", "dataset.slices.valid=train[:10%]"], "dataset.slices"),
    ],
)
def test_part_that_cannot_be_written_out_is_named(digits, spec, words, part):
    run = open_ejectable_run(str(digits.folder))
    assert list_obstacles(run) == []
    assert [what for what, _ in list_obstacles(replace(run, spec=spec(*words)))] == [part]


def test_refused_run_is_answered_with_exit_code_2_and_nothing_is_written(digits, command, tmp_path):
    folder = shutil.copytree(digits.folder, tmp_path / "run", ignore=lambda *_: ["eject"])
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"several_labels": True}))
    done = command("eject", str(folder))
    assert done.returncode == 2
    assert "several labels an image cannot be written out as a script" in done.stderr
    assert "  expected  " in done.stderr
    assert "  try       " in done.stderr
    assert not (folder / "eject").exists()


def test_run_that_was_extended_is_refused(digits, tmp_path):
    """Its curve was planned for fewer epochs than spec.yaml has."""
    folder = shutil.copytree(digits.folder, tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    _, rest = (folder / "spec.yaml").read_text().split("\n", 1)

    def open_resumed(*words):
        first = ["dataset.image_size=[32, 32]", "epochs=10"]  # a value may have spaces
        record.update(overrides=first, resumed=["2026-11-27T17:12:24"])
        (folder / "run.json").write_text(json.dumps(record))
        (folder / "spec.yaml").write_text(f"# cnntrain {' '.join([*first, *words])}\n{rest}")
        return open_ejectable_run(str(folder))

    open_resumed("log_every=3")
    with pytest.raises(SpecError, match="a run that was extended"):
        open_resumed("log_every=3", "epochs=12")


@pytest.mark.parametrize("call", ["f(*pair)", "f(1, **more)", "partial(f, 1, **more)"])
def test_parameters_of_a_call_with_stars_are_not_taken_for_their_defaults(call):
    inliner = Inliner(Place("", ""), {}, {}, {}, {})
    function, node = ast.parse("def f(a, b=2): ...").body[0], ast.parse(call, mode="eval").body
    read = partial(inliner.read_arguments, Place("cnntrain.errors", ""), definition=function)
    assert read(node) == {}
    assert read(ast.parse("f(1)", mode="eval").body) == {"a": 1, "b": 2}


OPTIONS = Path(__file__).parents[2] / "conf" / "augmentation"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(file.stem for file in OPTIONS.glob("*.yaml")))
def test_batches_of_a_script_are_those_of_training(digits, spec, name):
    from cnntrain.data.pipeline import TrainingBatches
    from cnntrain.data.source import Examples

    run = open_ejectable_run(str(digits.folder))
    run = replace(run, spec=spec("dataset=cifar10", f"augmentation={name}", "batch_size=20"))
    if list_obstacles(run):
        pytest.skip("it is refused")
    space = {}
    exec(compile(write_script(run).format_text(), name, "exec"), space)
    per_epoch = run.record["planned"]["steps_per_epoch"]
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (20 * per_epoch, 32, 32, 3), np.uint8)
    labels = random.integers(0, 10, len(images), np.int32)
    batches = TrainingBatches(
        Examples(images, labels), 10, 20, per_epoch, run.spec.augmentation, run.spec.seed, False
    )
    for step in (0, per_epoch + 1):
        block = batches.make_block(step, 1)
        ours = space["make_batch"](images, labels, step)
        assert np.array_equal(block["images"][0], ours[0])
        assert np.array_equal(block["labels"][0], ours[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["model=mlp_bn"], ["model=cnn_tanh"], ["model=cnn_maxout"], ["model=cnn_separable"],
        ["model=vgg16_1x1"], ["model=vgg11_lrn"], ["model=nin"],
        ["model=googlenet", "model.auxiliary_weight=0"],
        ["model=inception_mini"], ["model=densenet40_k12"], ["model=resnet20_v1"],
        ["model=resnet20_v1", "model.shortcut=B"], ["model=resnet29_v2"], ["model=wrn16_8"],
        ["model=resnet20_fixup"], ["model=resnet18", "model.stem=cifar"], ["model=resnet_tutorial"],
        ["model=se_resnet50"], ["model=regnetx_200mf"], ["model=mobilenet", "model.head=[8,0.5]"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_network_of_a_script_is_that_of_the_run(digits, spec, words):
    import keras

    run = open_ejectable_run(str(digits.folder))
    run = replace(run, spec=spec(*words), image_shape=(32, 32, 3))
    assert list_obstacles(run) == []
    space = {}
    exec(compile(write_script(run).format_text(), "script", "exec"), space)
    configs = []
    for build in (run.spec.model, space[run.spec.model.name]):
        keras.utils.clear_session()
        model = build((32, 32, 3), 10)
        configs.append((json.dumps(model.get_config()), [v.path for v in model.variables]))
    assert configs[0] == configs[1]


@pytest.mark.parametrize("model", ["lenet5_1998", "speed_net"])
def test_network_that_asks_for_more_than_a_script_has_is_refused(digits, spec, model):
    run = replace(open_ejectable_run(str(digits.folder)), spec=spec(f"model={model}"))
    with pytest.raises(SpecError, match="cannot be written out"):
        write_script(run)
