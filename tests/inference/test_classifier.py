"""Which weights of a run are used, and which images they take."""

import pytest

from cnntrain.errors import SpecError
from cnntrain.inference.classifier import choose_weights, read_image_shape
from cnntrain.runs.directory import WEIGHTS


@pytest.fixture
def folder(tmp_path):
    """A run with these weights: folder("best", "final") -> its path."""

    def make(*names):
        for name in names:
            (tmp_path / f"{name}.keras").touch()
        return tmp_path

    return make


@pytest.mark.parametrize("first", range(len(WEIGHTS)))
def test_weights_are_the_first_there_are_unless_others_are_asked_for(folder, first):
    run = folder(*WEIGHTS[first:])
    assert choose_weights(run, None, {}) == WEIGHTS[first]
    assert choose_weights(run, WEIGHTS[-1], {}) == WEIGHTS[-1]
    assert WEIGHTS[:2] == ("best", "final")


def test_weights_that_are_not_there_are_answered_with_those_that_are(folder):
    with pytest.raises(SpecError, match=r"has no ema\.keras: it is finished") as refused:
        choose_weights(folder("best", "final"), "ema", {"status": "finished"})
    assert refused.value.hint == "--weights best"


@pytest.mark.parametrize(
    ("record", "why", "helps"),
    [
        ({}, "it is unfinished", True),
        ({"status": "interrupted"}, "it is interrupted", True),
        ({"status": "failed", "error": "OSError: no"}, "it failed: OSError: no", True),
        ({"status": "failed", "error": "x", "kind": "Diverged"}, "it failed: x", False),
        ({"status": "running"}, "it is running", False),
    ],
)
def test_run_without_weights_is_resumed_where_that_helps(folder, record, why, helps):
    run = folder()
    with pytest.raises(SpecError, match=f"has no weights yet: {why}") as refused:
        choose_weights(run, None, record)
    assert refused.value.hint == (f"cnntrain resume {run}" if helps else None)


def config(shape=(None, 28, 20, 3), dtype="uint8"):
    return {"config": {"layers": [{"config": {"batch_shape": shape, "dtype": dtype}}]}}


def test_image_shape_is_that_of_the_input(tmp_path):
    assert read_image_shape(config(), tmp_path) == (28, 20, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"config": {"layers": []}}, {"config": 5}, config(dtype="float32"),
        config(shape=(None, 28, 28)), config(shape=(None, None, None, 3)), config(shape=None),
    ],
)  # fmt: skip
def test_network_that_takes_no_raw_images_is_named(tmp_path, wrong):
    with pytest.raises(SpecError, match=r"final\.keras cannot be used"):
        read_image_shape(wrong, tmp_path / "final.keras")
