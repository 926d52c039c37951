"""Check the names of layers against a saved network. It is read without loading TensorFlow."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError, format_choices
from cnntrain.inference.untrusted import read_network_config

NAMES_SHOWN = 12  # more names are not listed, only the nearest


def check_layer_request(file: Path, layer: str | None, channel: int | None) -> None:
    """Raise SpecError if the network in `file` has no such layer, or the layer no such filter."""
    if layer is None:
        return
    layers = dict(
        iterate_named_layers(unwrap_network_config(read_network_config(file)["config"]), "")
    )
    if layer not in layers:
        raise explain_unknown_layer(layer, list(layers))
    if channel is not None:
        check_filter_number(layer, channel, layers[layer].get("filters"))


def check_filter_number(layer: str, channel: int, filters: int | None) -> None:
    """Raise SpecError if a layer with `filters` filters, or an unknown number, has no `channel`."""
    if channel < 0 or (filters is not None and channel >= filters):
        last = f", 0 to {filters - 1}" if filters is not None else ", from 0"
        raise SpecError(f"--filter is {channel}", f"the number of a filter of {layer}{last}")


def explain_unknown_layer(layer: str, names: list[str]) -> SpecError:
    """Return the SpecError for a name that no layer has; it suggests the nearest names."""
    close = difflib.get_close_matches(layer, names, n=3, cutoff=0.4)
    shown = names if len(names) <= NAMES_SHOWN else close or names[:NAMES_SHOWN]
    expected = f"a layer of the network: {format_choices(shown)}"
    return SpecError(f"--layer is {layer}", expected, f"--layer {close[0]}" if close else None)


def unwrap_network_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the configuration of the model that was built, without the normalisation before it."""
    last = config.get("layers", [{}])[-1].get("config", {})
    return last if "layers" in last else config


def iterate_named_layers(
    config: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and the settings of each layer; in nested models the name is `outer/inner`."""
    for layer in config.get("layers", []):
        own = layer.get("config", {})
        name = f"{prefix}{own.get('name', layer.get('name'))}"
        if layer.get("class_name") == "InputLayer":
            continue
        if "layers" in own:
            yield from iterate_named_layers(own, f"{name}/")
        else:
            yield name, own
