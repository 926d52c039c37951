"""The options of `cnntrain look`, checked before TensorFlow is loaded."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass

from cnntrain.errors import SpecError, find_nearest
from cnntrain.inference.examples import abbreviate_names


@dataclass(frozen=True)
class InspectionOptions:
    """What to look at; a default for None is chosen by the network and the picture."""

    target: int | None  # the number of a class
    layer: str | None
    channel: int | None  # the number of a filter of `layer`
    epsilon: int  # how far FGSM moves each pixel, of 255


def check_inspection_flags(arguments: Namespace) -> None:
    """Raise SpecError for an epsilon out of range, and for a filter without its layer."""
    if not 1 <= arguments.epsilon <= 255:
        raise SpecError(f"--epsilon is {arguments.epsilon}", "1 to 255", "--epsilon 8")
    if arguments.filter is not None and arguments.layer is None:
        raise SpecError(
            f"--filter is {arguments.filter} and no --layer is given",
            "--layer NAME too",
            "--layer NAME --filter N",
        )


def parse_inspection_options(arguments: Namespace, names: Sequence[str]) -> InspectionOptions:
    """Return the options on the command line; raise SpecError for a class not in `names`."""
    if arguments.target is not None and arguments.target not in names:
        close = find_nearest(arguments.target, names)
        hint = f"--target {close}" if close else None
        raise SpecError(
            f"--target is {arguments.target}",
            f"a class: {abbreviate_names(names)}" if names else "weights with a top, for classes",
            hint,
        )
    target = None if arguments.target is None else names.index(arguments.target)
    return InspectionOptions(target, arguments.layer, arguments.filter, arguments.epsilon)
