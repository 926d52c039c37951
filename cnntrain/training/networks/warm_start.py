"""Warm start: begin with the weights of a run, or of a `.keras` or `.h5` file of anyone.

Layers are matched by name and shapes. All four file formats of Keras hold the names of layers, so
that the arrays are read without building the network that they came from.
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

# An array may have EXPANSION times the bytes that its file stores for it, and MAX_EXTRA_BYTES more.
MAX_EXTRA_BYTES, EXPANSION = 2**30, 1000
Arrays = dict[str, list[np.ndarray]]  # the arrays of each layer by its name

# The layers that deeper VGGs take from net A: section 3.1 of Simonyan & Zisserman 2014. The batch
# norm behind a convolution, which the paper predates, belongs to it.
VGG_A_SHARED_CONVS = ("block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2")
VGG_A_SHARED_NORMS = tuple(f"{conv}_bn" for conv in VGG_A_SHARED_CONVS)
VGG_A_SHARED_LAYERS = {*VGG_A_SHARED_CONVS, *VGG_A_SHARED_NORMS, "fc1", "fc2", "predictions"}


@dataclass(frozen=True)
class SourceWeights:
    """The arrays by layer in a file of weights, and what is known of its network."""

    path: Path
    display_name: str  # the file or run as the user named it
    arrays: Arrays
    name: str | None  # of the network, where the file has it
    class_names: tuple[str, ...] | None
    normalisation: Mapping[str, Any] | None  # scale and offset of its Rescaling layer


def read_source_weights(source: Path | str, display_name: str | None = None) -> SourceWeights:
    """Read the weights of a file or a run; raise SpecError if they cannot be read.

    Messages call the source `display_name`, or else by its path.
    """
    path, record = find_trained_weights(str(source))
    try:
        config, file = open_weights_file(path)
        with file:
            arrays = read_arrays_by_layer(file)
        network = config.get("config", {})
        first = find_rescaling_constants(network.get("layers", []))
    except Exception as error:  # any: for a damaged file h5py raises even a SystemError
        raise SpecError(
            f"{path} cannot be read as weights: {error}",
            "a run, a .keras or a .h5 that Keras has written",
        ) from None
    names = record.get("class_names")
    return SourceWeights(
        path,
        display_name or str(path),
        arrays,
        network.get("name"),
        tuple(map(normalise_unicode, names)) if names else None,
        first,
    )


def find_rescaling_constants(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return `scale` and `offset` of the first Rescaling layer in a saved network, or None.

    Raises ValueError or TypeError if they are not numbers.
    """
    first = next((layer["config"] for layer in layers if layer["class_name"] == "Rescaling"), None)
    if first is None:
        return None
    constants = {key: first[key] for key in ("scale", "offset")}
    for value in constants.values():
        np.asarray(value, np.float64)  # raises for anything but numbers
    return constants


def open_weights_file(path: Path) -> tuple[dict[str, Any], h5py.File]:
    """Return the configuration of the network, empty if the file has none, and its arrays."""
    if path.suffix != ".keras":
        return {}, h5py.File(path)
    with zipfile.ZipFile(path) as archive:
        check_zip_sizes(archive)
        config = parse_json(archive.read("config.json").decode())
        return config, h5py.File(io.BytesIO(archive.read("model.weights.h5")))


def check_arrays(file: h5py.File) -> None:
    """Raise ValueError if arrays are in other files, or far larger than what the file stores."""

    def odd_link(path: str, kind: Any) -> str | None:
        return None if isinstance(kind, h5py.HardLink) else f"{path} is a link"

    def odd_item(path: str, node: h5py.Group | h5py.Dataset) -> str | None:
        if not isinstance(node, h5py.Dataset):
            return None
        if node.external or node.is_virtual:
            return f"{path} lies in another file"
        huge = node.nbytes > MAX_EXTRA_BYTES + EXPANSION * node.id.get_storage_size()
        return f"{path} says that it has {format_size(node.nbytes)}" if huge else None

    # The first value that a visitor returns ends the visit, and is returned by it.
    if why := file.visititems_links(odd_link) or file.visititems(odd_item):
        raise ValueError(why)


def read_arrays_by_layer(file: h5py.File) -> Arrays:
    """Return the arrays of every layer by its own name, however deep it is nested."""
    arrays: Arrays = {}
    check_arrays(file)

    def keras_3(path: str, group: h5py.Group | h5py.Dataset) -> None:
        if path.endswith("vars") and "name" in group.attrs and len(group):
            arrays[group.attrs["name"]] = [group[key][()] for key in sorted(group, key=int)]

    legacy = file.get("model_weights", file)
    if "layer_names" not in legacy.attrs:
        file.visititems(keras_3)
        return arrays
    for outer in legacy.attrs["layer_names"]:
        group = legacy[decode_name(outer)]
        for name in map(decode_name, group.attrs["weight_names"]):
            layer = name.split("/")[-2] if "/" in name else decode_name(outer)
            arrays.setdefault(layer, []).append(group[name][()])
    return arrays


def decode_name(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def warm_start_model(
    model: keras.Model, source: SourceWeights, class_names: tuple[str, ...]
) -> dict[str, Any]:
    """Give the layers of `model` the weights of the source's layers of the same name and shapes.

    The head stays new if the classes are known to differ; of VGG A a deeper VGG takes only
    `VGG_A_SHARED_LAYERS`. Returns `from` and `sha256` of the source's file, and names: the layers
    that were `loaded`, the `new` ones, those of the source that were `left`, and the `unsure`
    heads, whose classes the source does not name. Raises SpecError if no layer fits.
    """
    weighted = {layer.name: layer for layer in model.layers if layer.weights}
    allowed = set(weighted)
    heads = find_logit_layers(model)
    if source.class_names is not None and source.class_names != tuple(class_names):
        allowed -= set(heads)
    if source.name == "vgg_a" and model.name.startswith("vgg_") and model.name != source.name:
        allowed &= VGG_A_SHARED_LAYERS
    loaded = [
        name
        for name in weighted
        if name in allowed and has_same_shapes(weighted[name], source.arrays)
    ]
    if not loaded:
        raise SpecError(
            f"no layer of {model.name} matches one of {source.display_name} in name and shape",
            f"layers such as {format_layer_shapes(weighted)}; it has "
            f"{format_layer_shapes(source.arrays)}",
            "the model that the weights were trained in",
        )
    for name in loaded:
        saved = [v for v in weighted[name].variables if v.dtype.startswith("float")]
        for variable, value in zip(saved, select_float_arrays(source.arrays[name]), strict=True):
            variable.assign(value)
    return {
        "from": source.display_name,
        "sha256": hashlib.sha256(source.path.read_bytes()).hexdigest(),
        "loaded": loaded,
        "new": [name for name in weighted if name not in loaded],
        "left": [name for name in source.arrays if name not in loaded],
        "unsure": [] if source.class_names else [name for name in heads if name in loaded],
    }


def find_logit_layers(model: keras.Model) -> list[str]:
    """Return the layers whose weights make the logits of each output.

    These are the outputs, or where they have no weights (NiN ends in an average), the last layer
    that has some.
    """
    weighted = [layer.name for layer in model.layers if layer.weights]
    return [name for name in model.output_names if name in weighted] or weighted[-1:]


def has_same_shapes(layer: keras.layers.Layer, arrays: Arrays) -> bool:
    """Return whether the arrays of a layer's namesake have the shapes of its weights."""
    shapes = [tuple(v.shape) for v in layer.variables if v.dtype.startswith("float")]
    return shapes == [value.shape for value in select_float_arrays(arrays.get(layer.name, []))]


def select_float_arrays(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Return the float arrays: the seed of a dropout, an integer, is no weight."""
    return [value for value in arrays if value.dtype.kind == "f"]


def format_layer_shapes(layers: Mapping[str, Any]) -> str:
    """Return the first three layers and the shapes of their first weights as text."""
    texts = []
    for name, layer in list(layers.items())[:3]:
        first = layer[0] if isinstance(layer, list) else layer.weights[0]
        texts.append(f"{name} {'x'.join(map(str, first.shape))}")
    return ", ".join(texts) + (", …" if len(layers) > 3 else "")
