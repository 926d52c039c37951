"""What a run gives the template: its settings and components; and what cannot be written out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnntrain.eject.sources import TEMPLATE, Place, find_constant
from cnntrain.eject.weights_digest import read_weights_digest
from cnntrain.errors import SpecError
from cnntrain.inference.classifier import Classifier, open_classifier
from cnntrain.spec.knobs import count_steps
from cnntrain.spec.signatures import Component, locate_component
from cnntrain.spec.spec import Spec

# The groups whose components a script has, by their names in `components.py`.
ROLES = {
    "build_model": "model", "draw_weights": "initializer", "augment_images": "augmentation",
    "compute_curve": "schedule", "make_optimizer": "optimizer",
}  # fmt: skip
OFFICIAL = {"train": "train", "valid": "validation", "test": "test"}  # splits in TFDS


def open_ejectable_run(path: str) -> Classifier:
    """Return the run in a directory, with its last weights.

    Raises SpecError if it is no run, has not finished, or has a part that cannot be written out.
    """
    run = open_classifier(path, "final")
    if run.record.get("status") != "finished":
        raise SpecError(
            f"{run.folder} is {run.record.get('status', 'unfinished')}",
            "a run that has finished, whose weights the script must end with",
            f"cnntrain resume {run.folder}",
        )
    for what, expected in list_obstacles(run):
        raise SpecError(
            f"{what} cannot be written out as a script",
            expected,
            f"cnntrain export {run.folder} --format keras, for the network alone",
        )
    return run


def list_obstacles(run: Classifier) -> list[tuple[str, str]]:
    """Return what a script of a run could not do, each with what it can."""
    spec, record = run.spec, run.record
    data, knobs = spec.dataset, spec.model.knobs
    is_resized = data["image_size"] is not None or data["channels"] is not None
    application_head = spec.model.name == "application" and spec.finetune.name == "head"
    freezes = application_head and not spec.finetune["from_layer"]
    small = "digits, or a data set of TFDS with small images of one size"
    plain = "one label an image, all classes, and the makers' splits or seeded ones"
    checks = [
        (record.get("backend") == "tensorflow", "KERAS_BACKEND=jax", "TensorFlow"),
        (record.get("replicas", 1) == 1 and spec.distribution.name == "single",
         f"distribution={spec.distribution.name}", "distribution=single"),
        (record.get("device", {}).get("kind") == "CPU", "a training on a GPU", "one on the CPU"),
        (spec.deterministic, "deterministic=false", "deterministic=true"),
        (not was_extended(run), "a run that was extended", "one "
         "with the epochs that it began with"),
        (data.name in ("digits", "tfds"), f"dataset={data.name}", small),
        (data.name != "tfds" or record["data"].get("pixels") is None, "a data set of photos",
         small),
        (data.name != "tfds" or not any(data["slices"].values()), "dataset.slices", plain),
        (not run.has_several_labels, "several labels an image", plain),
        (data["classes"] is None, "dataset.classes", plain),
        (data["label_map"] == "none", "dataset.label_map", plain),
        (not data["label_noise"], "dataset.label_noise", plain),
        (data["folds"] is None, "dataset.folds", plain),
        (data["groups"] is None, "dataset.groups", plain),
        ("joined" not in record["data"].get("origin", {}).get("train", ""), "a valid part that "
         "trains, too,", plain),
        (not is_resized or data["resize"] == "stretch", f"dataset.resize={data['resize']}",
         "dataset.resize=stretch"),
        (spec.init_from is None, "init_from", "a run that begins with weights of its own"),
        (spec.image_sizes is None, "image_sizes", "images of one size"),
        (spec.accumulate == 1, "accumulate", "accumulate=1"),
        (not spec.refit, "refit", "refit=false"),
        (not spec.fused_norm, "fused_norm", "fused_norm=false"),
        (spec.xla is not True, "xla=true", "xla=auto"),
        (spec.precision != "mixed_float16", "precision=mixed_float16", "float32, mixed_bfloat16"),
        (spec.monitor in ("valid.accuracy", "valid.loss"), f"monitor={spec.monitor}",
         "valid.accuracy or valid.loss"),
        (spec.loss.class_weights == "none", "loss.class_weights", "loss.class_weights=none"),
        (spec.loss.rejection in ("auto", None), "loss.rejection", "loss.rejection=null"),
        (spec.optimizer["bias_rate"] == 1, "optimizer.bias_rate", "optimizer.bias_rate=1"),
        (spec.optimizer.name != "muon", "optimizer=muon", "an optimizer that Keras has"),
        (spec.finetune.name == "none" or freezes, f"finetune={spec.finetune.name}",
         "none, or the head of a network of keras.applications"),
        (not knobs.get("auxiliary_weight"), "model.auxiliary_weight", "one output"),
        (knobs.get("weights") in (None, "imagenet") or "efficientnet" not in knobs["architecture"],
         "model.weights of a file", "model.weights=imagenet"),
        (not any(map(is_nested, spec.augmentation.knobs.values())),
         f"augmentation={spec.augmentation.name}", "a single augmentation"),
    ]  # fmt: skip
    return [(what, expected) for is_fine, what, expected in checks if not is_fine]


def was_extended(run: Classifier) -> bool:
    """Return whether a run was resumed with more steps than its learning rates were planned for.

    The first line of spec.yaml has the overrides of the first command, then those of each resume.
    """
    if not run.record.get("resumed"):
        return False
    header = (run.folder / "spec.yaml").read_text(encoding="utf-8").partition("\n")[0]
    first = " ".join(run.record.get("overrides", [])).split()  # an override may have spaces
    added = header.split()[2 + len(first) :]
    return any(word.startswith(("epochs=", "max_steps=", "replan=")) for word in added)


def is_nested(value: Any) -> bool:
    """Return whether the value of a knob is a component, or has some in it."""
    return isinstance(value, Component) or (
        isinstance(value, list | tuple) and any(map(is_nested, value))
    )


def collect_components(spec: Spec) -> dict[str, tuple[Place, Mapping[str, Any]]]:
    """Return the function and the knobs that stand for each name of `components.py`."""
    components = {
        role: (locate_function(getattr(spec, group)), getattr(spec, group).knobs)
        for role, group in ROLES.items()
    }
    if (head := spec.initializer["head"]) != "same":
        components["draw_head_weights"] = Place("cnntrain.training.initializers", head), {}
    return components


def locate_function(component: Component) -> Place:
    return Place(f"cnntrain.{locate_component(component.group, component.name)[1]}", component.name)


def collect_settings(run: Classifier) -> dict[str, Any]:
    """Return the values of the template's settings, but for those that the code of the run decides.

    See `script.py:inspect_components` for these.
    """
    spec, record = run.spec, run.record
    data, planned = record["data"], record["planned"]
    optimizer, schedule, dataset = spec.optimizer, spec.schedule, spec.dataset
    plateau = schedule["plateau"]
    kind = spec.normalisation
    if kind == "auto":  # networks of keras.applications bring their own preprocessing
        kind = "none" if spec.model.name == "application" else "standardise"
    is_cut = ("cut", "all that is left")
    official = [part for part, how in data["origin"].items() if not how.startswith(is_cut)]
    parts = {part: OFFICIAL[part] for part in ("train", *official)}
    cut = {part: dataset[part] for part in ("test", "valid") if part not in parts}
    has_one_logit = spec.model.knobs.get("one_logit", False) and len(run.class_names) == 2
    is_tfds = dataset.name == "tfds"
    return {
        "SEED": spec.seed,
        "BATCH_SIZE": min(spec.batch_size, data["sizes"]["train"]),
        "STEPS_PER_EPOCH": planned["steps_per_epoch"],
        "TOTAL_STEPS": planned["steps"],
        "LEARNING_RATE": optimizer["learning_rate"],
        "THREADS": spec.threads,
        "PRECISION": spec.precision,
        "IMAGE_SHAPE": run.image_shape,
        "NUM_CLASSES": len(run.class_names),
        "RUN_DIGEST": read_weights_digest(run.file),
        "DATASET": dataset["tfds"] if is_tfds else dataset.name,
        "DATA_DIR": shorten_home(spec.data_dir),
        **name_features(dataset),
        "PARTS": parts,
        "MARGIN": dataset.knobs.get("margin", 0),
        "RESIZED": dataset["image_size"] is not None or dataset["channels"] is not None,
        "CUT": dataset["cut"],
        "TEST_SIZE": cut.get("test", 0),
        "VALID_SIZE": cut.get("valid", 0),
        "SPLIT_SEED": dataset["split_seed"],
        "FRACTION": dataset["fraction"],
        "LIMIT": dataset["limit"],
        "SAMPLING": dataset["sampling"],
        "AUGMENTS": spec.augmentation.name != "none",
        "HAS_VALID": dataset["valid"] != 0,
        "NORMALISATION": kind,
        "BATCH_NORM_MOMENTUM": spec.batch_norm_momentum,
        "HEAD_GAIN": spec.initializer["head_gain"],
        "HAS_OWN_HEAD_WEIGHTS": spec.initializer["head"] != "same",
        "IS_FROZEN": spec.finetune.name == "head",
        "CACHES_FEATURES": spec.finetune.name == "head"
        and spec.finetune["cache"]
        and spec.augmentation.name == "none",
        "WARMUP_STEPS": count_steps(
            schedule["warmup"], planned["steps_per_epoch"], planned["steps"]
        ),
        "PLATEAU_PATIENCE": plateau["patience"],
        "PLATEAU_FACTOR": plateau["factor"],
        "PLATEAU_COOLDOWN": plateau["cooldown"],
        "PLATEAU_MIN_DELTA": plateau["min_delta"],
        "PLATEAU_MIN_RATE": plateau["min_lr"],
        "L1": optimizer["l1"],
        "L2": optimizer["l2"],
        "WEIGHT_DECAY": optimizer["weight_decay"],
        "CLIP_VALUE": optimizer["clip_value"],
        "CLIP_NORM": optimizer["clip_norm"],
        "GLOBAL_CLIP_NORM": optimizer["global_clip_norm"],
        "LABEL_SMOOTHING": spec.loss.label_smoothing,
        "FOCAL_GAMMA": spec.loss.focal_gamma,
        "HAS_PENALTY": bool(optimizer["l1"] or optimizer["l2"]),
        "CHANGES_LOSS": bool(spec.loss.label_smoothing or spec.loss.focal_gamma),
        "ONE_LOGIT": has_one_logit,
        "EMA_DECAY": spec.ema_decay or 0,
        "MONITOR": spec.monitor,
        "STOP_PATIENCE": spec.early_stopping.patience,
        "STOP_MIN_DELTA": spec.early_stopping.min_delta,
    }


def name_features(dataset: Component) -> dict[str, str]:
    """Return the names of the features to learn from, or empty ones for those that TFDS chooses."""
    image, label = (dataset.knobs.get(f"{what}_key") for what in ("image", "label"))
    if image is None and label is None:
        return {"IMAGE_KEY": "", "LABEL_KEY": ""}
    return {"IMAGE_KEY": image or "image", "LABEL_KEY": label or "label"}


def shorten_home(folder: str) -> str:
    """Return the absolute path of a folder, with `~` for the user's home."""
    path = Path(folder).expanduser().absolute()
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def choose_substitutes(run: Classifier) -> dict[Place, Place]:
    """Return the plainer forms of definitions that do the same for this run."""
    substitutes = {
        Place("cnntrain.training.schedules", "Rate"): Place(f"{TEMPLATE}step", "LearningRate"),
        Place("cnntrain.models.parts.pretrained", "load_pretrained"): Place(
            f"{TEMPLATE}plainer", "load_pretrained"
        ),
    }
    for name in ("pad_images", "mirror_images"):
        place = Place("cnntrain.data.augmentations.ops.crops", name)
        substitutes[place] = Place(f"{TEMPLATE}plainer", name)
    deep = "cnntrain.models.parts.deep"
    longest = find_constant(Place(deep, "LONGEST"))  # blocks, of which there are fewer than layers
    if run.spec.model.knobs.get("depth", longest + 1) <= longest:
        substitutes[Place(deep, "chain_blocks")] = Place(deep, "apply_blocks")
    return substitutes
