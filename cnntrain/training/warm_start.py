"""Beginning with weights that exist: a run of ours, a `.keras` or a `.h5` of anyone.

Layers are matched by name and shapes. All four file formats of Keras hold the names of layers, so
that the arrays are read without building the network they came from.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from cnntrain.errors import SpecError
from cnntrain.files.documents import parse_json
from cnntrain.files.writing import check_zip_sizes
from cnntrain.runs.strangers import find_trained_weights
from cnntrain.spec.knobs import normalise_unicode
from cnntrain.terminal.units import format_size

MAX_EXTRA_BYTES, EXPANSION = (
    2**30,
    1000,
)  # bytes of an array beyond so many times what its file holds
Arrays = dict[str, list[np.ndarray]]  # by the name of a layer

# What deeper VGGs take from net A, and no more: section 3.1 of Simonyan & Zisserman 2014.
SHALLOW_FIRST = {
    "block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "fc1", "fc2", "predictions",
}  # fmt: skip


@dataclass(frozen=True)
class SourceWeights:
    """What a file of weights holds: arrays by layer, and what is known of its network."""

    path: Path
    display_name: str
    arrays: Arrays
    name: str | None  # of the network, in a run of ours
    class_names: tuple[str, ...] | None
    normalisation: Mapping[str, Any] | None  # scale and offset of the first layer


def read_source_weights(given: Path | str, said: str | None = None) -> SourceWeights:
    """Read a file of weights, or a run's; SpecError if it cannot be read. `said` is its name."""
    path, record = find_trained_weights(str(given))
    try:
        config, file = open_weights_file(path)
        with file:
            arrays = read_arrays_by_layer(file)
        network = config.get("config", {})
        first = find_rescaling_constants(network.get("layers", []))
    except Exception as error:  # whatever readers make of a damaged file, h5py a SystemError
        raise SpecError(
            f"{path} cannot be read as weights: {error}",
            "a run, a .keras or a .h5 that Keras has written",
        ) from None
    names = record.get("class_names")
    return SourceWeights(
        path,
        said or str(path),
        arrays,
        network.get("name"),
        tuple(map(normalise_unicode, names)) if names else None,
        first,
    )


def find_rescaling_constants(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The constants of the first layer of a saved network that scales its images."""
    first = next((layer["config"] for layer in layers if layer["class_name"] == "Rescaling"), None)
    if first is None:
        return None
    known = {key: first[key] for key in ("scale", "offset")}
    for value in known.values():
        np.asarray(value, np.float64)  # or it is no number: ValueError, TypeError
    return known


def open_weights_file(path: Path) -> tuple[dict[str, Any], h5py.File]:
    """The configuration of the network, if the file has it, and its arrays."""
    if path.suffix != ".keras":
        return {}, h5py.File(path)
    with zipfile.ZipFile(path) as archive:
        check_zip_sizes(archive)
        config = parse_json(archive.read("config.json").decode())
        return config, h5py.File(io.BytesIO(archive.read("model.weights.h5")))


def check_arrays(file: h5py.File) -> None:
    """Refuse a file that has its arrays from other files, or says that they are huge."""

    def odd_link(path: str, kind: Any) -> str | None:
        return None if isinstance(kind, h5py.HardLink) else f"{path} is a link"

    def odd_item(path: str, node: h5py.Group | h5py.Dataset) -> str | None:
        if not isinstance(node, h5py.Dataset):
            return None
        if node.external or node.is_virtual:
            return f"{path} lies in another file"
        huge = node.nbytes > MAX_EXTRA_BYTES + EXPANSION * node.id.get_storage_size()
        return f"{path} says that it has {format_size(node.nbytes)}" if huge else None

    # What a visitor returns ends the visit; h5py has no other way out of it.
    if why := file.visititems_links(odd_link) or file.visititems(odd_item):
        raise ValueError(why)


def read_arrays_by_layer(file: h5py.File) -> Arrays:
    """The arrays of every layer, however deep it is nested, under its own name."""
    found: Arrays = {}
    check_arrays(file)

    def keras_3(path: str, group: h5py.Group | h5py.Dataset) -> None:
        if path.endswith("vars") and "name" in group.attrs and len(group):
            found[group.attrs["name"]] = [group[key][()] for key in sorted(group, key=int)]

    legacy = file.get("model_weights", file)
    if "layer_names" not in legacy.attrs:
        file.visititems(keras_3)
        return found
    for outer in legacy.attrs["layer_names"]:
        group = legacy[decode_name(outer)]
        for name in map(decode_name, group.attrs["weight_names"]):
            layer = name.split("/")[-2] if "/" in name else decode_name(outer)
            found.setdefault(layer, []).append(group[name][()])
    return found


def decode_name(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def warm_start_model(
    body: keras.Model, origin: SourceWeights, class_names: tuple[str, ...]
) -> dict[str, Any]:
    """Give the layers of `body` the weights of the layers of the same name and shapes.

    The head stays new where the classes are known to be others. Returns what the report says:
    the layers that were loaded, the new ones, those of the file that were left, and the heads of
    which nobody knows whether they tell the same classes apart. Raises SpecError if nothing fits.
    """
    weighted = {layer.name: layer for layer in body.layers if layer.weights}
    allowed = set(weighted)
    if origin.class_names is not None and origin.class_names != tuple(class_names):
        allowed -= set(body.output_names)
    if origin.name == "vgg_a" and body.name.startswith("vgg_") and body.name != origin.name:
        allowed &= SHALLOW_FIRST
    loaded = [
        name
        for name in weighted
        if name in allowed and has_same_shapes(weighted[name], origin.arrays)
    ]
    if not loaded:
        raise SpecError(
            f"no layer of {body.name} has a namesake of the same shape in {origin.display_name}",
            f"weights for {format_layer_shapes(weighted)}; there are "
            f"{format_layer_shapes(origin.arrays)}",
            "the model that the weights were trained in",
        )
    for name in loaded:
        saved = [v for v in weighted[name].variables if v.dtype.startswith("float")]
        for variable, value in zip(saved, select_float_arrays(origin.arrays[name]), strict=True):
            variable.assign(value)
    return {
        "from": origin.display_name,
        "sha256": hashlib.sha256(origin.path.read_bytes()).hexdigest(),
        "loaded": loaded,
        "new": [name for name in weighted if name not in loaded],
        "left": [name for name in origin.arrays if name not in loaded],
        "unsure": [name for name in body.output_names if name in loaded and not origin.class_names],
    }


def has_same_shapes(layer: keras.layers.Layer, arrays: Arrays) -> bool:
    """Whether a layer's namesake has its shapes."""
    wanted = [tuple(v.shape) for v in layer.variables if v.dtype.startswith("float")]
    return wanted == [value.shape for value in select_float_arrays(arrays.get(layer.name, []))]


def select_float_arrays(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The weights among the arrays: a dropout's seed is none."""
    return [value for value in arrays if value.dtype.kind == "f"]


def format_layer_shapes(layers: Mapping[str, Any]) -> str:
    """The first layers with their shapes, in words."""
    found = []
    for name, layer in list(layers.items())[:3]:
        first = layer[0] if isinstance(layer, list) else layer.weights[0]
        found.append(f"{name} {'x'.join(map(str, first.shape))}")
    return ", ".join(found) + (", …" if len(layers) > 3 else "")
