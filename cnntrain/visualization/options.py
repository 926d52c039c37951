"""What a look is asked to look at, checked before TensorFlow is loaded."""

from argparse import Namespace
from dataclasses import dataclass

from cnntrain.errors import SpecError, find_nearest
from cnntrain.inference.classifier import Classifier
from cnntrain.inference.examples import abbreviate_names
from cnntrain.visualization import layer_names


@dataclass(frozen=True)
class InspectionOptions:
    """What to look at; None is for what the picture, or the network, suggests."""

    target: int | None  # the number of a class
    layer: str | None
    channel: int | None
    epsilon: int  # of 255


def parse_inspection_options(given: Namespace, classifier: Classifier) -> InspectionOptions:
    """Return what is asked for; SpecError for a class, a layer or a filter that there is not."""
    names = classifier.class_names
    if given.target is not None and given.target not in names:
        close = find_nearest(given.target, names)
        hint = f"--target {close}" if close else None
        raise SpecError(f"--target is {given.target}", f"a class: {abbreviate_names(names)}", hint)
    if not 1 <= given.epsilon <= 255:
        raise SpecError(f"--epsilon is {given.epsilon}", "1 to 255", "--epsilon 8")
    layer_names.check_layer_request(classifier.file, given.layer, given.filter)
    target = None if given.target is None else names.index(given.target)
    return InspectionOptions(target, given.layer, given.filter, given.epsilon)
