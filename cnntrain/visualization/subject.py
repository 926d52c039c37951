"""The network that `cnntrain look` inspects: that of a run, or a published one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnntrain.data.inventory import is_dataset_here
from cnntrain.data.source import Examples
from cnntrain.errors import SpecError
from cnntrain.inference.classifier import Classifier
from cnntrain.inference.examples import load_examples
from cnntrain.inference.imagenet import build_network_with_or_without_top
from cnntrain.runs.calibration import Calibration
from cnntrain.runs.results import collect_settings
from cnntrain.spec.spec import Spec
from cnntrain.training.labels.kind import ONE_LABEL, SEVERAL_LABELS, LabelKind


@dataclass(frozen=True)
class Subject:
    """A network that takes raw images (B, H, W, C) uint8, and where it comes from.

    It returns logits for `class_names`, whose meaning is the `kind` of labels, or features if there
    are no names. A `calibration` makes probabilities of them as `cnntrain predict` does.
    `load_training_images` raises SpecError where the images are not here.
    """

    described: str  # for the line above the title of the page
    facts: Mapping[str, Any]  # for look.json
    network: Any
    class_names: tuple[str, ...]
    batch_size: int
    load_training_images: Callable[[], Examples]
    kind: LabelKind = ONE_LABEL
    calibration: Calibration | None = None


def make_run_subject(
    classifier: Classifier, spec: Spec, calibration: Calibration | None
) -> Subject:
    """Return the network of a run, whose data is that of `spec`."""
    settings = collect_settings(classifier.config, classifier.record)
    name = classifier.folder.resolve().name

    def load_training_images() -> Examples:
        if not is_dataset_here(spec):
            raise SpecError(f"not in data_dir={spec.data_dir}", "the run's data")
        return load_examples(classifier, spec, "train")[0]

    return Subject(
        f"{name} · {classifier.weights} weights · {settings['model']} on {settings['dataset']}",
        {"run": str(classifier.folder), "weights": classifier.weights},
        classifier.load_network(),
        classifier.class_names,
        spec.batch_size,
        load_training_images,
        SEVERAL_LABELS if classifier.has_several_labels else ONE_LABEL,
        calibration,
    )


def make_published_subject(
    option: str, weights: str, spec: Spec, image_shape: tuple[int, int, int]
) -> Subject:
    """Return a network of `keras.applications` with ImageNet weights, or those of a file.

    Raises SpecError if these are missing or do not fit.
    """
    published = build_network_with_or_without_top(spec.model, image_shape)
    width = "" if spec.model["alpha"] == 1 else f" · alpha {spec.model['alpha']:g}"

    def load_training_images() -> Examples:
        raise SpecError("the network was published without them", "a run")

    return Subject(
        f"{option}{width} · weights {Path(weights).name}",
        {"model": option, "knobs": dict(spec.model.knobs), "weights": weights},
        published.network,
        published.class_names,
        spec.batch_size,
        load_training_images,
    )
