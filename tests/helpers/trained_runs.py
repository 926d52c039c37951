"""Fixtures of runs that are trained once, and functions that run a verb on them."""

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnntrain.cli.main import VERBS
from cnntrain.errors import SpecError

WORDS = ("epochs=10", "dataset.limit=300", "batch_size=20", "log_every=100")


@dataclass
class Trained:
    """A finished run, and the images and labels that it was tested on."""

    folder: Path
    images: np.ndarray  # (N, H, W, C) uint8
    labels: np.ndarray

    @property
    def report(self):
        return json.loads((self.folder / "report.json").read_text())

    def network(self, weights="best"):
        import keras

        return keras.models.load_model(self.folder / f"{weights}.keras", compile=False)

    def probabilities(self, weights="best", images=None):
        import keras

        shown = self.images if images is None else images
        return keras.ops.softmax(self.network(weights).predict(shown, verbose=0)).numpy()


@pytest.fixture(scope="session")
def training(tmp_path_factory):
    """Return a function that trains in this process as the command line does."""
    from cnntrain.running.run import train_from_overrides
    from cnntrain.spec.build import build_spec
    from cnntrain.spec.compose import compose_config

    def one(*words):
        folder = tmp_path_factory.mktemp("trained") / "run"
        assert train_from_overrides([*words, f"hydra.run.dir={folder}"], None) == 0
        test = build_spec(compose_config(words).config).load_splits().test
        return Trained(folder, test.images, test.labels)

    return one


@pytest.fixture(scope="session")
def digits(training):
    return training(*WORDS)


@pytest.fixture(scope="session")
def properties(training):
    """Train on the properties of digits: several labels an image."""
    from helpers.several import use_properties

    with use_properties():
        return training(*WORDS)


@pytest.fixture(scope="session")
def lenet(training, archives, tmp_path_factory):
    """Train LeNet-5 on MNIST."""
    places = (f"manual_dir={archives}", f"data_dir={tmp_path_factory.mktemp('data')}")
    return training("dataset=mnist", "epochs=2", "log_every=500", *places)


@pytest.fixture(scope="session")
def cats(training, archives, weights_dir, tmp_path_factory):
    """Train the head of a frozen MobileNet on photos of cats and dogs."""
    weights = weights_dir / "mobilenet_7_5_224_tf_no_top.weights.h5"
    places = (f"manual_dir={archives}", f"data_dir={tmp_path_factory.mktemp('data')}")
    return training(
        "model=mobilenet", "model.alpha=0.75", f"model.weights={weights}", "finetune=head",
        "dataset=cats_vs_dogs_small", "dataset.image_size=[224,224]", "batch_size=32", "epochs=6",
        *places,
    )  # fmt: skip


@pytest.fixture(scope="session")
def one_logit(training):
    """Train a head of one unit on odd and even digits."""
    return training(
        "model=mobilenet", "model.alpha=0.25", "model.one_logit=true", "epochs=1",
        "dataset.label_map=odd_even", "dataset.limit=300", "batch_size=50",
    )  # fmt: skip


@pytest.fixture
def verb(capfd):
    """Return a function that runs a verb in this process.

    `verb("evaluate", RUN)` returns (exit code, out, err).
    """

    def do(name, *words):
        capfd.readouterr()
        code = import_module(f"cnntrain.{VERBS[name]}").main([str(word) for word in words])
        return code, *capfd.readouterr()

    return do


@pytest.fixture
def refusal(capfd):
    """Return a function that runs a verb with a mistake and returns its SpecError."""

    def of(name, *words):
        with pytest.raises(SpecError) as answer:
            import_module(f"cnntrain.{VERBS[name]}").main([str(word) for word in words])
        return answer.value

    return of


@pytest.fixture
def pngs(digits, tmp_path):
    """Write the test images as files, in a folder for each class, and return the folder."""
    for number, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        folder = tmp_path / "pngs" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{number:03}.png")
    return tmp_path / "pngs"
