"""Files from strangers: a saved network says what it is made of before Keras makes it.

A `.keras` file names classes, and Keras imports and calls them. Those of our networks are layers,
operations and initializers of Keras, so that nothing else is let through. No TensorFlow here.
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
# The modules that the networks of conf/model name, and what may stand in one of Keras itself.
ALLOWED_MODULES = (
    "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints",
    "keras.src.models.functional", "keras.src.ops.numpy", "keras.src.ops.nn",
)  # fmt: skip
CAST_OPERATION = (
    "keras.src.ops.core",
    "Cast",
)  # of mixed precision; that module also loops and branches
APPLICATION_MODULES = "keras.src.applications."  # layers of their own: LayerScale, CustomScaleLayer
KERAS_CLASSES = ("DTypePolicy", "Sequential", "Model", "Functional")
VALUE_CLASSES = ("__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__")
# Layers that run code, load another program or read other files.
FORBIDDEN_LAYERS = (
    "Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "StringLookup",
    "IntegerLookup", "TextVectorization",
)  # fmt: skip


def read_network_config(path: Path) -> dict[str, Any]:
    """Return the configuration of a saved network, once nothing in it can run foreign code.

    Raises SpecError for a file that is no `.keras`, or names what no network of ours is made of.
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
    """Everything in a configuration that Keras looks up by a name."""
    if isinstance(node, dict):
        if "class_name" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from find_named_nodes(part)


def is_harmless(node: dict[str, Any]) -> bool:
    """Whether a class is a value, or a layer, an operation or an initializer of Keras."""
    module, name = node.get("module"), node["class_name"]
    if not isinstance(name, str) or name in FORBIDDEN_LAYERS:
        return False
    if module is None:
        return name in VALUE_CLASSES
    if module == "keras":
        return name in KERAS_CLASSES
    known = module in ALLOWED_MODULES or (module, name) == CAST_OPERATION
    return isinstance(module, str) and (known or module.startswith(APPLICATION_MODULES))
