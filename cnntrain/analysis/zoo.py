"""The zoo: every option of the group `model`, described and with the costs of its paper's network.

The costs were counted on built networks and are stored in zoo.json (`make zoo`), so that listing
needs no TensorFlow. Options of a user's own have no costs there.
"""

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError, find_nearest
from cnntrain.spec import option_files
from cnntrain.spec.about import ModelAbout, PaperNetwork, read_option, read_paper_network
from cnntrain.spec.signatures import PACKAGE, list_components, locate_component, parse_source

COUNTS_FILE = PACKAGE / "analysis" / "zoo.json"
NO_YEAR = 9999  # options without a year come last


@dataclass(frozen=True)
class ZooEntry:
    """An option of the group `model`; None stands for facts that no file says or counted."""

    option: str
    what: str
    family: str | None  # the name of its component
    about: ModelAbout
    parameters: int | None
    trainable: int | None
    multiply_adds: int | None

    @property
    def year(self) -> int | None:
        return self.about.year

    @property
    def made_for(self) -> PaperNetwork | None:
        return self.about.paper_network

    @property
    def input(self) -> str | None:
        """The shape of the images, as `32x32x3`."""
        return "x".join(map(str, self.made_for.image_shape)) if self.made_for else None

    @property
    def megabytes(self) -> float | None:
        """The size of the parameters in float32, in MiB."""
        return None if self.parameters is None else 4 * self.parameters / 2**20

    def as_json(self) -> dict[str, Any]:
        paper = self.made_for
        return {
            "what": self.what,
            "family": self.family,
            "year": self.year,
            "image_shape": list(paper.image_shape) if paper else None,
            "num_classes": paper.num_classes if paper else None,
            "overrides": list(paper.overrides) if paper else None,
            "parameters": self.parameters,
            "trainable": self.trainable,
            "multiply_adds": self.multiply_adds,
            "depth": self.about.depth,
            "top_1": self.about.top_1,
            "top_5": self.about.top_5,
        }


def list_zoo(config_dir: str | None = None) -> list[ZooEntry]:
    """Return every option: families by their first year, and the options of each by theirs."""
    counted = json.loads(COUNTS_FILE.read_text(encoding="utf-8")) if COUNTS_FILE.is_file() else {}
    files = option_files.find_option_files("model", config_dir)
    entries = [read_zoo_entry(option, file, counted) for option, file in files.items()]
    first: dict[str | None, int] = {}
    for entry in entries:
        if entry.year:
            first[entry.family] = min(entry.year, first.get(entry.family, entry.year))

    def order(entry: ZooEntry) -> tuple[Any, ...]:
        family = (first.get(entry.family, NO_YEAR), entry.family is None, entry.family or "")
        return *family, entry.year or NO_YEAR, entry.parameters or 0, entry.option

    return sorted(entries, key=order)


def list_applications(config_dir: str | None = None) -> list[ZooEntry]:
    """Return the options that are networks of `keras.applications`, the smallest first."""
    entries = [entry for entry in list_zoo(config_dir) if entry.family == "application"]
    return sorted(entries, key=lambda entry: entry.parameters or 0)


def read_zoo_entry(option: str, file: Path, counted: dict[str, Any]) -> ZooEntry:
    """Return the entry of one option.

    An option of the user's own has no counts, nor has one that was counted for another input.
    """
    try:
        knobs, about = read_option(file, ModelAbout)
    except SpecError:  # whoever builds the option gets it
        knobs, about = {}, ModelAbout()
    row = counted.get(option, {}) if file.is_relative_to(option_files.CONF) else {}
    if row.get("made_for") != str(about.paper_network):
        row = {}
    return ZooEntry(
        option=option,
        what=option_files.read_summary(file),
        family=knobs["name"] if knobs.get("name") in list_components("model") else None,
        about=about,
        parameters=row.get("parameters"),
        trainable=row.get("trainable"),
        multiply_adds=row.get("multiply_adds"),
    )


def describe_family(family: str | None) -> str:
    """Return the first line of the docstring of a family's module; empty for no family."""
    if family is None:
        return ""
    return (ast.get_docstring(parse_source(locate_component("model", family)[0])) or "").partition(
        "\n"
    )[0]


def find_model_file(option: str, config_dir: str | None) -> Path:
    """Return the file of an option of the group `model`; raise SpecError if there is none."""
    files = option_files.find_option_files("model", config_dir)
    if option not in files:
        close = find_nearest(option, files)
        hint = f"cnntrain list model {close}" if close else None
        raise SpecError(f"{option} is no option of the group model", files, hint)
    return files[option]


def build_unfilled_network(
    option: str, made_for: PaperNetwork | None = None, config_dir: str | None = None
) -> Any:
    """Return the network of an option for `made_for`, without it that of its paper.

    Its weights have shapes but no values, which takes a fraction of the time and no memory.
    Auxiliary heads are left out. Raises SpecError for an option that does not exist or does not
    say what it is made for, and for what the model refuses.
    """
    file = find_model_file(option, config_dir)
    made_for = made_for or read_paper_network(file)
    # Pretrained weights would be looked up and downloaded, and then thrown away.
    fresh = ["model.weights=null"] if option_files.load_option(file).get("weights") else []

    from cnntrain.spec.build import build_provisional_spec
    from cnntrain.spec.compose import compose_config

    chosen = [f"model={option}", *fresh, *made_for.overrides]
    model = build_provisional_spec(compose_config(chosen, config_dir).config).model

    from cnntrain.terminal.stderr import silence_stderr

    with silence_stderr():
        import keras

        from cnntrain.analysis.layer_table import drop_auxiliary_heads

    keras.utils.clear_session()  # layers are numbered from the start again
    with keras.StatelessScope(initialize_variables=False):
        return drop_auxiliary_heads(model(made_for.image_shape, made_for.num_classes))
