"""Suggest an override that works for a word that is no setting."""

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnntrain.errors import find_nearest
from cnntrain.spec.option_files import CHOICES, find_option_files, load_option, qualify_option
from cnntrain.spec.signatures import GROUPS

# Our settings and groups, with the words that other programs use for them.
SETTING_WORDS = {
    "optimizer.learning_rate": "lr",
    "optimizer.weight_decay": "wd",
    "optimizer.global_clip_norm": "clip grad_clip",
    "batch_size": "batch bs mini_batch",
    "accumulate": "grad_accum gradient_accumulation_steps",
    "max_steps": "steps iterations iters",
    "minutes": "time_limit max_time time_budget",
    "ema_decay": "ema",
    "test_views": "tta test_time_augmentation",
    "early_stopping.patience": "patience",
    "dataset.valid": "val val_split valid_split validation_split",
    "dataset.test": "test_split",
    "dataset.image_size": "size image_size img_size imgsz input_size resolution",
    "dataset.folder": "folder data_path root",
    "dataset.table": "table csv labels annotations",
    "model.weights": "weights",
    "init_from": "pretrained_from checkpoint_path",
    "replan": "stretch",
    "hydra.run.dir": "out output output_dir logdir run_dir save_dir",
}
GROUP_WORDS = {
    "model": "arch architecture net network backbone",
    "dataset": "data ds",
    "augmentation": "aug augment transform",
    "optimizer": "opt optim",
    "schedule": "sched scheduler lr_schedule lr_scheduler",
    "initializer": "init",
    "distribution": "strategy",
    "tracking": "logger",
    "experiment": "recipe exp",
}
# Our models, with the names of their families, of which they are a good first choice.
MODEL_WORDS = {
    "resnet18": "resnet",
    "resnet50_v2": "resnetv2 resnet_v2",
    "vgg16": "vgg",
    "densenet121": "densenet",
    "inception_v3": "inception",
    "wrn28_10": "wrn wideresnet wide_resnet",
    "regnetx_200mf": "regnet",
    "nasnet_mobile": "nasnet",
    "cnn_cifar": "cnn convnet",
    "mlp_256_128": "mlp",
}
FIRST_CHOICE = "mobilenet"  # of several with a knob: small, and with ImageNet weights
SETTING_OF = {word: key for key, words in SETTING_WORDS.items() for word in words.split()}
GROUP_OF = {word: group for group, words in GROUP_WORDS.items() for word in words.split()}
MODEL_OF = {word: model for model, words in MODEL_WORDS.items() for word in words.split()}
DEVICE_WORDS = ("device", "devices", "gpu", "gpus")
TABLE_ENDINGS = (".csv", ".tsv", ".parquet")


def suggest_override(key: str, value: str, keys: Sequence[str]) -> str | None:
    """Return an override that `key=value` may mean; `key` has no dot and is none of `keys`."""
    if key in DEVICE_WORDS:
        return choose_devices(value)
    if key in GROUP_OF:
        return choose_option(GROUP_OF[key], value)
    top = [known for known in keys if "." not in known and known not in (*CHOICES, "hydra")]
    if known := SETTING_OF.get(key) or find_nearest(key, top):
        return suggest_knob(known, value, keys)
    if (group := find_nearest(key, CHOICES)) and (hint := choose_option(group, value)):
        return hint
    if known := next((k for k in keys if k.endswith(f".{key}") and "hydra." not in k), None):
        return suggest_knob(known, value, keys)
    hints = (choose_option_with_knob(group, key, value) for group in GROUPS)
    return qualify_option(key) or next((hint for hint in hints if hint), None)


def suggest_known_knob(key: str, value: str, keys: Sequence[str]) -> str | None:
    """Return an override for a knob in the words of other programs: `optimizer.lr=0.1`."""
    group, _, knob = key.rpartition(".")
    known = SETTING_OF.get(knob, "")
    return suggest_knob(known, value, keys) if known.startswith(f"{group}.") else None


def suggest_knob(key: str, value: str, keys: Sequence[str]) -> str | None:
    """Return `KEY=value`, with an option that has this knob if the chosen one lacks it."""
    group, _, knob = key.partition(".")
    if group in CHOICES and key not in keys:
        return choose_option_with_knob(group, knob, value)
    inner = [known for known in keys if known.startswith(f"{key}.") and not known[-1].isdecimal()]
    key = inner[0] if inner else key  # the first setting of a record
    if key == "dataset.image_size" and (size := re.fullmatch(r"(\d+)(?:[x,](\d+))?", value)):
        value = f"[{size[1]},{size[2] or size[1]}]"
    return shlex.quote(f"{key}={value}")


def choose_option_with_knob(group: str, knob: str, value: str) -> str | None:
    """Return an override of a knob, with an option of the group that has it: FIRST_CHOICE, or any.

    For example `optimizer=sgd optimizer.momentum=0.9`.
    """
    files = find_option_files(group)
    having = [option for option, file in files.items() if knob in load_option(file)]
    if not having:
        return None
    chosen = FIRST_CHOICE if FIRST_CHOICE in having else having[0]
    knob = f"{group.replace('/', '.')}.{knob}={value}"
    return shlex.join([f"{group}={chosen}", knob])


def choose_option(group: str, value: str, options: Iterable[str] | None = None) -> str | None:
    """Return `model=vgg16` for `arch=vgg`; a data set that is a path becomes photos."""
    if group == "dataset" and is_folder(value):
        return shlex.join(choose_photo_words(value))
    if group == "model" and (family := MODEL_OF.get(value.lower())):
        return f"model={family}"
    nearest = find_nearest(
        Path(value).stem, find_option_files(group) if options is None else options
    )
    return f"{group}={nearest}" if nearest else None


def choose_photo_words(path: str) -> list[str]:
    """Return the overrides that train on a path: a table of photos, or a folder of them."""
    if is_table(path):
        return ["dataset=table", f"dataset.table={path}"]
    return ["dataset=image_folder", f"dataset.folder={path}"]


def is_table(path: str) -> bool:
    return Path(path).suffix.lower() in TABLE_ENDINGS


def is_folder(text: str) -> bool:
    """Whether a word in place of a data set's name is a path."""
    return text.startswith(("./", "../", "~", "/")) or "/" in text or Path(text).exists()


def choose_devices(value: str) -> str:
    """Return the distribution that people mean by `gpus=2`, `gpu=0,1` and `device=cuda`."""
    numbers = re.findall(r"\d+", value)
    if len(numbers) > 1 or numbers == ["0"]:
        return f"distribution=mirrored 'distribution.devices=[{','.join(numbers)}]'"
    return "distribution=mirrored" if numbers else "distribution=single"
