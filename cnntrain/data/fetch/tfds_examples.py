"""Read the examples of a data set that TFDS has prepared, from front to back."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as library

from cnntrain.data.fetch.tfds_slices import Piece


def iterate_examples(
    builder: Any,
    piece: Piece,
    wanted: Collection[str],
    decoded: Collection[str],
    count: int = 1000,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the features `wanted` of a piece of a split, `count` examples at a time.

    The order is that of its files. Only images whose feature is in `decoded` are decoded; the
    others stay bytes.
    """
    features = builder.info.features
    images = [name for name in features if isinstance(features[name], library.features.Image)]

    @tf.autograph.experimental.do_not_convert
    def select_features(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: example[name] for name in wanted}

    examples = builder.as_dataset(
        split=piece.instruction,
        decoders={name: library.decode.SkipDecoding() for name in images if name not in decoded},
        read_config=library.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    return examples.map(select_features).batch(count).as_numpy_iterator()
