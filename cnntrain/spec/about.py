"""The `about` record of an option's file: facts for people and programs, which no spec holds.

A file may leave out the record or any of its keys. The values are checked like those of knobs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from cnntrain.errors import SpecError
from cnntrain.spec.knobs import (
    ByteCount,
    Count,
    Factor,
    ModelOverride,
    Year,
    convert_all,
    format_value,
)
from cnntrain.spec.option_files import load_option_file
from cnntrain.spec.signatures import collect_vocabulary


@dataclass(frozen=True, kw_only=True)
class About:
    """The facts that an option of any group may state; None where its file does not."""

    year: Year | None = None
    citation: str | None = None  # as it stands in brackets in the file's first line

    def remove_citation(self, summary: str) -> str:
        """Return the first line of the option's file without its citation in brackets."""
        return summary.replace(f" ({self.citation})", "") if self.citation else summary


@dataclass(frozen=True)
class PaperNetwork:
    """A paper's network: its images, its classes, and the overrides that make an option of it."""

    image_shape: tuple[int, int, int]  # (H, W, C)
    num_classes: int
    overrides: tuple[str, ...]

    def __str__(self) -> str:
        shape, overrides = "x".join(map(str, self.image_shape)), " ".join(self.overrides)
        text = f"{shape}, {self.num_classes} classes"
        return f"{text}: {overrides}" if overrides else text


@dataclass(frozen=True, kw_only=True)
class ModelAbout(About):
    """The facts about a model: the network of its paper, and what Keras publishes of its own.

    `depth` and the shares of ImageNet's validation images are those of keras.io/api/applications.
    """

    image_shape: tuple[Count, Count, Count] | None = None  # (H, W, C)
    num_classes: Count | None = None
    overrides: list[ModelOverride] | None = None
    depth: Count | None = None  # layers with parameters, or of the topology: Keras mixes them
    top_1: Factor | None = None  # the share whose likeliest class is right
    top_5: Factor | None = None  # the share whose class is among the five likeliest

    @property
    def paper_network(self) -> PaperNetwork | None:
        """The paper's network, or None if the file does not state its images and its classes."""
        if self.image_shape is None or self.num_classes is None:
            return None
        return PaperNetwork(self.image_shape, self.num_classes, tuple(self.overrides or ()))


@dataclass(frozen=True, kw_only=True)
class DatasetAbout(About):
    """The facts about a data set: its images, the bytes to download, its archives by file name."""

    images: dict[Literal["train", "valid", "test"], Count] | None = None
    num_classes: Count | None = None
    image_shape: tuple[Count, Count, Count] | None = None  # (H, W, C); None: photos of many sizes
    bytes: ByteCount | None = None  # to download
    archives: list[str] | None = None  # their names, or patterns of these


RECORDS = collect_vocabulary(Path(__file__))
KINDS: dict[str, type[About]] = {"model": ModelAbout, "dataset": DatasetAbout}
AnyAbout = TypeVar("AnyAbout", bound=About)


def read_option(file: Path, kind: type[AnyAbout]) -> tuple[dict[str, Any], AnyAbout]:
    """Return the knobs that an option's file states, with its `name`, and its `about` record.

    Raises SpecError, which names the file, if it cannot be read or has a wrong key or value.
    """
    option = load_option_file(file)
    return option, convert_about(option.pop("about", None), kind, file)


def convert_about(values: Any, kind: type[AnyAbout], file: Path | str) -> AnyAbout:
    """Return the `about` record with the values of a mapping; it is empty for None.

    Raises SpecError, which names `file` and the key, for a wrong key or value.
    """
    fields = {**RECORDS["About"].fields, **RECORDS[kind.__name__].fields}
    stated = {} if values is None else values
    if not isinstance(stated, Mapping):
        raise SpecError(f"{file}: about is {format_value(stated)}", f"the keys {', '.join(fields)}")
    try:
        converted = convert_all(dict.fromkeys(fields) | dict(stated), fields, "about")
    except SpecError as error:
        raise SpecError(f"{file}: {error.given}", error.expected) from None
    if converted.get("images") is not None and "train" not in converted["images"]:
        raise SpecError(f"{file}: about.images has no train", "images: {train: 60000, test: 10000}")
    return kind(**converted)


def read_paper_network(file: Path) -> PaperNetwork:
    """Return the paper's network of a model's file; raise SpecError if the file states none."""
    network = read_option(file, ModelAbout)[1].paper_network
    if network is None:
        raise SpecError(
            f"{file} does not say which network of which paper this is",
            "about: {image_shape: [224, 224, 3], num_classes: 1000} and, where it takes any, "
            "overrides: [model.hidden=4096]",
        )
    return network
