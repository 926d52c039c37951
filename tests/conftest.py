"""What tests share: real data where it lies, specs without a command line, quiet runs."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

pytest_plugins = ["helpers.site", "helpers.trained_runs"]

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("CNNTRAIN_TEST_DATA", ROOT.parent / "shared" / "data"))


def pytest_collection_finish():
    """Look for garbage seldom, and not in the half a million objects of TensorFlow."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """A TFDS directory with CIFAR-10 prepared in it."""
    return present(DATA / "tfds" / "cifar10").parent


@pytest.fixture(scope="session")
def archives() -> Path:
    """A folder with the four original MNIST files."""
    return present(DATA / "archives" / "train-images-idx3-ubyte.gz").parent


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """A folder with ImageNet weights of MobileNet 0.25, as published, and 0.75, as of Keras 3."""
    return present(DATA / "weights" / "mobilenet_2_5_224_tf_no_top.h5").parent


def present(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"no real data at {path}; set CNNTRAIN_TEST_DATA")
    return path


@pytest.fixture
def spec():
    """Compose and check a spec: spec("model=vgg16", "epochs=1")."""
    from cnntrain.spec.build import build_provisional_spec as check
    from cnntrain.spec.compose import compose_config

    return lambda *overrides: check(compose_config(overrides).config)


@pytest.fixture(scope="session")
def train_in():
    """Train in this process, below a folder: train_in(folder)("epochs=1") -> (Run, report)."""
    from cnntrain.runs.directory import Run
    from cnntrain.spec.build import build_spec
    from cnntrain.spec.compose import compose_config
    from cnntrain.training.trainer import train_run

    def below(folder: Path):
        def run_one(*overrides: str, name: str = "run", said: list[str] | None = None):
            config = compose_config(overrides).config
            run = Run.claim(folder / name, config, overrides)
            return run, train_run(build_spec(config), run, Silent(said))

        return run_one

    return below


@pytest.fixture
def train(tmp_path, train_in):
    """Train in this process, below `tmp_path`: train("epochs=1") -> (Run, report)."""
    return train_in(tmp_path)


@pytest.fixture
def silent():
    """The class of a `Progress` that shows nothing."""
    return Silent


@pytest.fixture
def left_behind(tmp_path):
    """Write what a run leaves, without training: left_behind("a", "seed=1", accuracies=[.5])."""
    import json

    from cnntrain.runs.directory import Run
    from cnntrain.spec.compose import compose_config

    def write(name: str, *overrides: str, accuracies=(0.5, 0.75), status="finished", **record):
        composed = compose_config(overrides)
        run = Run.claim(tmp_path / name, composed.config, overrides, composed.choices)
        for epoch, accuracy in enumerate(accuracies, 1):
            parts = {"train": accuracy + 0.01, "valid": accuracy}
            numbers = {f"{part}.accuracy": value for part, value in parts.items()}
            losses = {f"{part}.loss": 1 - value for part, value in parts.items()}
            row = {"epoch": epoch, "step": 10 * epoch, **numbers, **losses}
            run.append_row("history.csv", row | {"learning_rate": 0.001, "seconds": 1.5})
        if status == "finished":
            best = {"accuracy": max(accuracies) - 0.05, "loss": 0.5}
            report = {"test": {"best": best, "final": best}, "seconds": {"total": 12.5}}
            run.report.write_text(json.dumps(report))
        run.update_run_json(status=status, **record)
        run.lock.release()
        return run.folder

    return write


class Silent:
    """A `Progress` that keeps what it is told."""

    def __init__(self, lines: list[str] | None = None):
        self.lines, self.rows = [] if lines is None else lines, []

    def note(self, line):
        self.lines.append(line)

    def begin_phase(self, done, total_steps, steps_per_epoch):
        self.total_steps = total_steps

    def step(self, epoch, step, images_per_second, logs):
        pass

    def epoch(self, row):
        self.rows.append(row)


@pytest.fixture
def answer(tmp_path, monkeypatch, capsys):
    """Do as the command line does, in this process: answer("epochs=0") -> CompletedProcess."""
    from cnntrain.cli.main import main

    def run(*words: str) -> subprocess.CompletedProcess:
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        code = ended.value.code
        del ended
        gc.collect()  # what it held is free, as at the end of a process: the lock of a run
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    return run


@pytest.fixture
def command(tmp_path):
    """Run the real command line in an empty directory: command("epochs=1") -> CompletedProcess."""

    def run(*words: str, cwd: Path = tmp_path, **options):
        line = [sys.executable, "-m", "cnntrain", *words]
        return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False, **options)

    return run
