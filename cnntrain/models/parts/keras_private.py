"""The private parts of Keras that we use. If a new version of Keras breaks, look here.

Written against keras 3.15.1. Publicly a network tells its layers, but not which call of a layer
comes behind which, nor the operations that are no layers. And which file of weights belongs to a
network of `keras.applications` is known only inside the function that builds it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from cnntrain.keras_settings import find_keras_folder


def get_graph(operation: Any) -> Any:
    """The graph of a functional or sequential model; None for anything else."""
    graph = getattr(operation, "_functional", None) or operation
    return graph if hasattr(graph, "_nodes_by_depth") else None


def iterate_nodes(graph: Any) -> Iterator[Any]:
    """The calls within a graph, each behind those that it needs."""
    for _, level in sorted(graph._nodes_by_depth.items(), reverse=True):
        yield from (node for node in level if not node.is_input)


@contextmanager
def intercept_get_file(find: Callable[[str, str, Callable[[], str]], str]) -> Iterator[None]:
    """Within it, `keras.applications` gets its files from `find(name, url, fetch)`.

    Only the body of each of its functions knows the name and the URL of its file, and all of them
    call `get_file` of one module with both: standing in there is less brittle than a list of
    thirty names of our own. Should Keras go another way one day, `load_pretrained` notices.
    """
    module: Any = sys.modules[keras.utils.get_file.__module__]
    original = module.get_file

    def get_file(fname: str, origin: str, **options: Any) -> str:
        return find(
            fname,
            origin,
            lambda: original(fname, origin, cache_dir=str(find_keras_folder()), **options),
        )

    module.get_file = get_file
    try:
        yield
    finally:
        module.get_file = original
