"""Layers of a network that compute by other means while it trains, for as long as a block lasts."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras

from cnntrain.training.networks.build import iterate_leaf_layers

Call = Callable[..., Any]


@contextlib.contextmanager
def replace_calls(
    network: keras.Model, choose_call: Callable[[keras.layers.Layer], Call | None]
) -> Iterator[None]:
    """Call `choose_call(layer)` in place of a layer's own `call` within the block.

    It gets the layer and the arguments of `call`. A layer for which it is None is left alone.
    """
    chosen = [(layer, choose_call(layer)) for layer in iterate_leaf_layers(network)]
    replaced = [(layer, call) for layer, call in chosen if call is not None]
    for layer, call in replaced:
        layer.call = functools.partial(call, layer)
    try:
        yield
    finally:
        for layer, _ in replaced:
            del layer.call
