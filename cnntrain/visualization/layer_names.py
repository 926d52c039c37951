"""The layers of a saved network by name, read off its file: no TensorFlow."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError, format_choices
from cnntrain.inference.untrusted import read_network_config

NAMES_SHOWN = 12  # more names are not listed, only the nearest


def check_layer_request(file: Path, layer: str | None, channel: int | None) -> None:
    """Refuse a layer that the network has not, and a filter that the layer has not."""
    if layer is None:
        if channel is not None:
            raise SpecError(
                f"--filter is {channel} of no layer", "--layer NAME too", "--layer NAME --filter N"
            )
        return
    known = dict(
        iterate_named_layers(unwrap_network_config(read_network_config(file)["config"]), "")
    )
    if layer not in known:
        raise explain_unknown_layer(layer, list(known))
    if channel is not None:
        check_filter_number(layer, channel, known[layer].get("filters"))


def check_filter_number(layer: str, channel: int, filters: int | None) -> None:
    """Refuse the number of a filter that a layer with `filters` of them, if known, has not."""
    if channel < 0 or (filters is not None and channel >= filters):
        last = f", 0 to {filters - 1}" if filters is not None else ", from 0"
        raise SpecError(f"--filter is {channel}", f"the number of a filter of {layer}{last}")


def explain_unknown_layer(layer: str, names: list[str]) -> SpecError:
    """The answer to a name that no layer has: the nearest, or all of a few."""
    close = difflib.get_close_matches(layer, names, n=3, cutoff=0.4)
    shown = names if len(names) <= NAMES_SHOWN else close or names[:NAMES_SHOWN]
    expected = f"a layer of the network: {format_choices(shown)}"
    return SpecError(f"--layer is {layer}", expected, f"--layer {close[0]}" if close else None)


def unwrap_network_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was built, behind the normalisation that training put in front."""
    last = config.get("layers", [{}])[-1].get("config", {})
    return last if "layers" in last else config


def iterate_named_layers(
    config: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name and the settings of each layer, those of nested models as `outer/inner`."""
    for layer in config.get("layers", []):
        own = layer.get("config", {})
        name = f"{prefix}{own.get('name', layer.get('name'))}"
        if layer.get("class_name") == "InputLayer":
            continue
        if "layers" in own:
            yield from iterate_named_layers(own, f"{name}/")
        else:
            yield name, own
