"""What `cnntrain bench` is asked for, checked before TensorFlow loads."""

from argparse import Namespace
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cnntrain.errors import SpecError, find_nearest
from cnntrain.files.paths import expand_folder
from cnntrain.planning.auto_settings import resolve_auto_settings
from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.overrides import parse_single_override
from cnntrain.spec.spec import Spec


@dataclass(frozen=True)
class Case:
    """A network, the shape (H, W, C) of its images, how many an epoch has, and its settings."""

    image_shape: tuple[int, int, int]
    images: int
    overrides: tuple[str, ...] = ()
    slow_on_cpu: bool = False  # if so, it is measured on a CPU only if its name is given


CASES = {
    "lenet5": Case((28, 28, 1), 51_200),
    "cnn_cifar": Case((32, 32, 3), 25_600, ("augmentation=flip_crop",)),
    "resnet20_v1": Case((32, 32, 3), 12_800, ("augmentation=flip_crop",)),
    "resnet18": Case((32, 32, 3), 51_200, ("augmentation=flip_crop", "model.stem=cifar"), True),
}
TRAINING_WAYS = ("bare", "cnntrain", "fit", "tutorial", "torch")
INFERENCE_WAYS = ("evaluate", "predict", "onnxruntime")
WAYS = (*TRAINING_WAYS, *INFERENCE_WAYS, "startup")
# The packages of ways that not everybody has, and how to get them.
PACKAGES = {
    "torch": (("torch",), "pip install torch"),
    "onnxruntime": (("onnx", "tf2onnx", "onnxruntime"), "pip install 'cnntrain[export]'"),
}
# Settings that the benchmark decides by itself, with the flag that is meant, if there is one.
FIXED_SETTINGS = {
    "model": "--models", "epochs": "--rounds", "dataset": None, "max_steps": None,
    "steps_per_epoch": None, "finetune": None, "init_from": None, "refit": None,
    "distribution": None, "early_stopping": None,
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What to measure: the spec of each model, the ways, and how many rounds count.

    `chose_models` is false if nobody named any. `notes` say which ways are left out, and why.
    """

    specs: dict[str, Spec]
    chose_models: bool
    ways: tuple[str, ...]
    rounds: int
    images: int | None
    notes: tuple[str, ...]

    def count_steps(self, model: str) -> int:
        """Return the steps of a round: whole batches only."""
        return (self.images or CASES[model].images) // self.specs[model].batch_size


def check_request(arguments: Namespace) -> Request:
    """Return what the parsed command line asks for.

    Raises SpecError for a name or setting that is wrong, and for a package that a way needs and
    that is not installed.
    """
    models = parse_names("--models", arguments.models, CASES)
    named_ways = parse_names("--ways", arguments.ways, WAYS)
    rounds = parse_count("--rounds", arguments.rounds)
    images = None if arguments.images is None else parse_count("--images", arguments.images)
    missing = {
        way: hint for way, (names, hint) in PACKAGES.items() if not all(map(find_spec, names))
    }
    for way in named_ways or ():
        if way in missing:
            raise SpecError(
                f"--ways has {way}, which is not installed", "its packages", missing[way]
            )
    specs = {
        model: build_benchmark_spec(model, arguments.overrides, rounds, arguments.config_dir)
        for model in models or CASES
    }
    request = Request(
        specs,
        models is not None,
        named_ways or tuple(way for way in WAYS if way not in missing),
        rounds,
        images,
        () if named_ways else tuple(
            f"{way} is not installed and was left out: {hint}" for way, hint in missing.items()
        ),
    )  # fmt: skip
    for model, spec in specs.items():
        if not request.count_steps(model):
            raise SpecError(
                f"--images is {images} and batch_size is {spec.batch_size}",
                "images for one batch or more",
                f"--images {spec.batch_size}",
            )
    return request


def parse_names(flag: str, text: str | None, known: Collection[str]) -> tuple[str, ...] | None:
    """Return the names between the commas of a flag's value, in the order in which they are known.

    It is None if the flag was not given. Raises SpecError for an unknown name.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            nearest = find_nearest(name, known)
            raise SpecError(f"{flag} has {name!r}", known, nearest and f"{flag} {nearest}")
    return tuple(name for name in known if name in names)


def parse_count(flag: str, text: str) -> int:
    """Return a flag's value as a whole number from 1 on; raise SpecError for anything else."""
    if not text.isdecimal() or int(text) == 0:
        raise SpecError(f"{flag} is {text}", "a whole number from 1 on", f"{flag} 5")
    return int(text)


def build_benchmark_spec(
    model: str, overrides: Sequence[str], rounds: int, config_dir: str | None
) -> Spec:
    """Return the spec of our run of a model, whose first epoch, which compiles, does not count.

    A setting of the user replaces one of the case. Raises SpecError for settings that the benchmark
    decides by itself.
    """
    keys = [parse_single_override(word).key_or_group for word in overrides]
    for key, word in zip(keys, overrides, strict=True):
        setting, _, knob = key.partition(".")
        if setting in FIXED_SETTINGS and not (setting == "model" and knob):
            flag = FIXED_SETTINGS[setting]
            raise SpecError(
                f"{word} is given, which the benchmark decides",
                "settings of a step, such as threads=1",
                flag and f"{flag} {word.partition('=')[2]}",
            )
    own = ("schedule=constant", *CASES[model].overrides)
    kept = [word for word in own if word.partition("=")[0] not in keys]
    words = [f"model={model}", *kept, *overrides, f"epochs={rounds + 1}"]
    config = compose_config(words, config_dir).config
    return resolve_auto_settings(config, build_provisional_spec(config), config_dir)[1]


def check_figure_file(text: str, ways: Collection[str]) -> Path:
    """Return the path of `--figure`.

    Raises SpecError for another ending, a missing folder, and for ways that it has no place for.
    """
    file = expand_folder(text, "--figure")
    if file.suffix not in (".png", ".svg"):
        raise SpecError(f"--figure is {text or 'empty'}", "a name that ends in .png or .svg")
    if not file.parent.is_dir() or file.is_dir():
        raise SpecError(f"--figure is {text}", "a file in a folder that is there")
    if not set(ways) & {*TRAINING_WAYS, *INFERENCE_WAYS}:
        raise SpecError("--figure and only startup are given", "ways to train or to predict")
    return file
