"""The options of `cnntrain look`, checked before TensorFlow is loaded."""

from argparse import Namespace
from dataclasses import dataclass

from cnntrain.errors import SpecError, find_nearest
from cnntrain.inference.classifier import Classifier
from cnntrain.inference.examples import abbreviate_names
from cnntrain.visualization import layer_names


@dataclass(frozen=True)
class InspectionOptions:
    """What to look at; a default for None is chosen by the network and the picture."""

    target: int | None  # the number of a class
    layer: str | None
    channel: int | None  # the number of a filter of `layer`
    epsilon: int  # how far FGSM moves each pixel, of 255


def parse_inspection_options(arguments: Namespace, classifier: Classifier) -> InspectionOptions:
    """Return the options on the command line.

    Raises SpecError for an epsilon out of range, and for an unknown class, layer or filter.
    """
    names = classifier.class_names
    if arguments.target is not None and arguments.target not in names:
        close = find_nearest(arguments.target, names)
        hint = f"--target {close}" if close else None
        raise SpecError(
            f"--target is {arguments.target}", f"a class: {abbreviate_names(names)}", hint
        )
    if not 1 <= arguments.epsilon <= 255:
        raise SpecError(f"--epsilon is {arguments.epsilon}", "1 to 255", "--epsilon 8")
    layer_names.check_layer_request(classifier.file, arguments.layer, arguments.filter)
    target = None if arguments.target is None else names.index(arguments.target)
    return InspectionOptions(target, arguments.layer, arguments.filter, arguments.epsilon)
