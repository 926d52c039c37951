"""What `cnntrain bench` refuses, and what it measures if nothing is said."""

from argparse import Namespace

import pytest

from cnntrain.benchmarks import request as requests
from cnntrain.benchmarks.request import CASES, WAYS, check_figure_file, check_request
from cnntrain.errors import SpecError


def ask(*overrides, **flags):
    usual = {"models": None, "ways": None, "rounds": "5", "images": None, "config_dir": None}
    return check_request(Namespace(overrides=overrides, **usual | flags))


@pytest.fixture
def installed(monkeypatch):
    """Say which packages are installed: installed("onnx", "tf2onnx")."""

    def say(*names):
        monkeypatch.setattr(requests, "find_spec", lambda name: name if name in names else None)

    return say


@pytest.mark.parametrize(
    ("words", "flags", "given", "hint"),
    [
        ((), {"models": "lenet5,resnet20"}, "--models has 'resnet20'", "--models resnet20_v1"),
        ((), {"ways": "bare,keras_fit"}, "--ways has 'keras_fit'", None),
        ((), {"ways": ""}, "--ways has ''", None),
        ((), {"rounds": "0"}, "--rounds is 0", "--rounds 5"),
        ((), {"rounds": "many"}, "--rounds is many", "--rounds 5"),
        ((), {"images": "100"}, "--images is 100 and batch_size is 128", "--images 128"),
        (("model=vgg16",), {}, "model=vgg16 is given", "--models vgg16"),
        (("epochs=7",), {}, "epochs=7 is given", "--rounds 7"),
        (("dataset.limit=7",), {}, "dataset.limit=7 is given", None),
        (("precison=float32",), {}, "precison is not a setting", "precision=float32"),
    ],
)
def test_mistakes_are_answered(words, flags, given, hint):
    with pytest.raises(SpecError) as answer:
        ask(*words, **flags)
    assert answer.value.given.startswith(given)
    assert answer.value.hint == hint


def test_a_way_that_is_named_needs_its_package_and_others_are_left_out(installed):
    installed("onnx", "tf2onnx", "onnxruntime")
    request = ask(models="lenet5")
    assert request.ways == tuple(way for way in WAYS if way != "torch")
    assert request.notes == ("torch is not installed and was left out: pip install torch",)
    with pytest.raises(SpecError, match="torch, which is not installed") as answer:
        ask(ways="bare,torch")
    assert answer.value.hint == "pip install torch"
    installed("onnx", "torch")
    assert "onnxruntime" not in ask(models="lenet5").ways


def test_settings_hold_for_every_model_and_replace_those_of_the_case(installed):
    installed()
    request = ask("augmentation=cutout", "batch_size=64", "schedule=cosine", rounds="3")
    assert list(request.specs) == list(CASES)
    for model, spec in request.specs.items():
        assert (spec.augmentation.name, spec.batch_size, spec.epochs) == ("cutout", 64, 4)
        assert request.count_steps(model) == CASES[model].images // 64


def test_the_networks_are_those_of_the_papers_with_their_augmentation():
    specs = ask(models="resnet18,lenet5").specs
    assert list(specs) == ["lenet5", "resnet18"]
    assert specs["lenet5"].augmentation.name == "none"
    assert specs["resnet18"].augmentation.name == "flip_crop"
    assert specs["resnet18"].model["stem"] == "cifar"


@pytest.mark.parametrize("name", ["figure.jpg", "missing/figure.png", ""])
def test_a_figure_has_an_ending_and_a_folder(tmp_path, name):
    with pytest.raises(SpecError, match="--figure is"):
        check_figure_file(str(tmp_path / name) if name else name, WAYS)
    assert check_figure_file(str(tmp_path / "figure.svg"), WAYS) == tmp_path / "figure.svg"


def test_a_figure_has_no_place_for_the_start_of_commands(tmp_path):
    with pytest.raises(SpecError, match="only startup"):
        check_figure_file(str(tmp_path / "figure.png"), ["startup"])


def test_precision_may_be_what_suits_the_device(installed):
    installed()
    chosen = ask("precision=auto", models="lenet5").specs["lenet5"].precision
    assert chosen in ("float32", "mixed_bfloat16")
