"""Check a saved network from a stranger before Keras builds it.

A `.keras` file names classes, and Keras imports and calls them. Networks of cnntrain are made of
layers, operations and initializers of Keras, so that nothing else is allowed. TensorFlow is not
loaded here.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnntrain.errors import SpecError
from cnntrain.files.documents import parse_json
from cnntrain.files.writing import check_zip_sizes

NETWORK_READ_ERRORS = (
    OSError, KeyError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
# Modules that networks of cnntrain name; any class of these is allowed, but for FORBIDDEN_LAYERS.
ALLOWED_MODULES = (
    "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints",
    "keras.src.models.functional", "keras.src.ops.numpy", "keras.src.ops.nn",
)  # fmt: skip
# Mixed precision needs it. The rest of its module, with loops and branches, is not allowed.
CAST_OPERATION = ("keras.src.ops.core", "Cast")
APPLICATION_MODULES = "keras.src.applications."  # they define LayerScale and CustomScaleLayer
KERAS_CLASSES = ("DTypePolicy", "Sequential", "Model", "Functional")
VALUE_CLASSES = ("__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__")
# Layers that run code, load other programs or read other files.
FORBIDDEN_LAYERS = (
    "Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "StringLookup",
    "IntegerLookup", "TextVectorization",
)  # fmt: skip


def read_network_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a saved network, checked so that Keras runs no foreign code.

    Raises SpecError if `path` is not a `.keras` file, or names a class that is not allowed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_zip_sizes(archive)
            config = parse_json(archive.read("config.json").decode())
            unsafe = next(
                (node for node in find_named_nodes(config) if not is_harmless(node)), None
            )
    except NETWORK_READ_ERRORS as error:
        raise SpecError(
            f"{path} cannot be read as a network: {error}", "a .keras file, as a run leaves it"
        ) from None
    if unsafe is not None:
        raise SpecError(
            f"{path} names {unsafe.get('module') or 'no module'}.{unsafe['class_name']}, which may "
            "run foreign code",
            "a network of layers and operations of Keras only",
        )
    return config


def find_named_nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield each dict in a configuration that names a class for Keras to look up."""
    if isinstance(node, dict):
        if "class_name" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from find_named_nodes(part)


def is_harmless(node: dict[str, Any]) -> bool:
    """Return whether `node` names a plain value or an allowed class or function of Keras."""
    module, name = node.get("module"), node["class_name"]
    if not isinstance(name, str) or name in FORBIDDEN_LAYERS:
        return False
    if module is None:
        return name in VALUE_CLASSES
    if module == "keras":
        return name in KERAS_CLASSES
    allowed = module in ALLOWED_MODULES or (module, name) == CAST_OPERATION
    return isinstance(module, str) and (allowed or module.startswith(APPLICATION_MODULES))
