"""Chains of blocks, even of hundreds."""

from collections.abc import Callable, Sequence

import keras

# Keras walks a network by recursion with one call for each layer, also when it loads a file, and
# Python allows about a thousand calls. A block has up to ten layers, so that 60 in a row are safe.
LONGEST = 60

Block = Callable[[keras.KerasTensor], keras.KerasTensor]


def chain_blocks(x: keras.KerasTensor, blocks: Sequence[Block]) -> keras.KerasTensor:
    """Apply the blocks to `x` one after another, and return the result.

    More than `LONGEST` blocks are cut into models within the model.
    """
    if len(blocks) <= LONGEST:
        return apply_blocks(x, blocks)
    for first in range(0, len(blocks), LONGEST):
        inputs = keras.Input(x.shape[1:])
        outputs = apply_blocks(inputs, blocks[first : first + LONGEST])
        x = keras.Model(inputs, outputs)(x)
    return x


def apply_blocks(x: keras.KerasTensor, blocks: Sequence[Block]) -> keras.KerasTensor:
    for apply_block in blocks:
        x = apply_block(x)
    return x
