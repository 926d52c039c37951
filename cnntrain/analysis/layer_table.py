"""Tables of what each layer of a network costs: parameters, multiply-adds, receptive field.

They are read from the functional graph, call by call, without data and without values in the
weights. A layer that is called twice has two rows, and its parameters only in the first; the layers
of a nested model have rows of their own, as `outer/inner`.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import keras

from cnntrain.analysis.graph import GraphTensor, GraphWalk, LayerRow
from cnntrain.analysis.receptive_field import Axes, make_image_field

# The operations of a local response normalisation, with casts in half precision.
LRN = re.compile(
    r"(?<!\S)(?:Cast )?Square Pad (?:GetItem |Add )+Multiply Add Power Multiply (?:Cast )?"
)


def describe_layers(network: keras.Model) -> list[LayerRow]:
    """Return a row for each call of a layer or operation, each after those that it needs.

    Convolutions, dense layers and matrix products have multiply-adds; other layers have 0. Where
    branches meet, the largest receptive field counts. Raises ValueError for an input of unknown
    size.
    """
    inputs = [GraphTensor(tensor, make_image_field(tensor.shape[1:])) for tensor in network.inputs]
    if any(None in signal.shape for signal in inputs):
        raise ValueError(f"{network.name} takes {inputs[0].shape}: expected a known size")
    walk = GraphWalk()
    walk(network, inputs, "")
    return order_by_branches(merge_lrn_rows(walk.rows))


def merge_lrn_rows(rows: Sequence[LayerRow]) -> list[LayerRow]:
    """Return the rows with one in place of all operations of a local response normalisation.

    Keras has no such layer, so that it is made of operations (`models/parts/blocks.py`).
    """
    kinds, merged = "".join(f"{row.kind} " for row in rows), list[LayerRow]()
    numbers = dict[int, int]()  # of the rows, to those of the merged ones
    spans = {kinds.count(" ", 0, m.start()): m[0] for m in LRN.finditer(kinds)}
    names = (f"lrn_{count}" if count else "lrn" for count in itertools.count())
    while len(numbers) < len(rows):
        position = len(numbers)
        span = spans.get(position, " ")
        length = span.count(" ")
        row = replace_inputs(rows[position], numbers)
        if length > 1:
            setting, output = f"over {span.count('GetItem')} channels", rows[position].output
            row = replace(row, layer=next(names), kind="LRN", setting=setting, output=output)
            row = replace(row, what=f"LRN {setting}")
        numbers |= dict.fromkeys(range(position, position + length), len(merged))
        merged.append(row)
    return merged


def order_by_branches(rows: Sequence[LayerRow]) -> list[LayerRow]:
    """Return the rows with each branch in one piece, the first that is joined before the second.

    Keras has them by their distance from the end, the layers of branches in turns.
    """
    read = {number for row in rows for number in row.inputs}
    stack = [(number, False) for number in reversed(range(len(rows))) if number not in read]
    numbers = dict[int, int]()  # in Keras' order, to those in the order of branches
    while stack:
        number, is_complete = stack.pop()
        if is_complete:
            numbers.setdefault(number, len(numbers))
        elif number not in numbers:
            stack.append((number, True))
            stack += [(before, False) for before in reversed(rows[number].inputs)]
    return [replace_inputs(rows[number], numbers) for number in numbers]


def replace_inputs(row: LayerRow, numbers: Mapping[int, int]) -> LayerRow:
    """Return a row that reads the rows of other `numbers`."""
    return replace(row, inputs=tuple(dict.fromkeys(numbers[n] for n in row.inputs)))


def count_totals(network: keras.Model) -> dict[str, int]:
    """Return the `parameters`, those `trainable`, and the `multiply_adds` of one image forward."""
    trainable = sum(math.prod(v.shape) for v in network.trainable_weights)
    return {
        "parameters": sum(math.prod(v.shape) for v in network.weights),
        "trainable": trainable,
        "multiply_adds": sum(row.multiply_adds or 0 for row in describe_layers(network)),
    }


def find_receptive_field(rows: Sequence[LayerRow]) -> Axes | None:
    """Return the largest receptive field of the rows in pixels along each axis, or None."""
    fields = [row.receptive_field for row in rows if row.receptive_field]
    return tuple(max(axis) for axis in zip(*fields, strict=False)) or None


def drop_auxiliary_heads(network: keras.Model) -> keras.Model:
    """Return the network without its auxiliary heads, which only training uses."""
    if len(network.outputs) == 1:
        return network
    return keras.Model(network.inputs, network.outputs[0], name=network.name)
