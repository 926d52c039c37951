"""Networks that train on images of other sizes than they are saved for."""

from collections.abc import Sequence
from typing import Any

import keras

from cnntrain.data.image_sizes import SizeSpan
from cnntrain.errors import SpecError
from cnntrain.training.networks.build import BuiltNetwork, ensure_list
from cnntrain.training.networks.normalisation import tile_normalisation


def accept_any_image_size(model: keras.Model) -> None:
    """Let a model, and the models within it, take images of other sizes than it was built for.

    Keras compares an input with `input_spec`, which no file holds: a saved network, and a network
    that has this model as a layer, check their images as before.
    """
    model.input_spec = None
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            accept_any_image_size(layer)


class TrainingPass(keras.Operation):
    """The forward pass of a training step, of which only the shapes are computed."""

    def __init__(self, built: BuiltNetwork):
        super().__init__()
        self.model = built.model
        self.normalise = tile_normalisation(built.network.get_layer("normalisation"))

    def call(self, images: Any) -> Any:
        return self.model(self.normalise(images), training=True)


def check_smaller_images(built: BuiltNetwork, spans: Sequence[SizeSpan], batch_size: int) -> None:
    """Raise SpecError if the network cannot be trained on images of all sizes of `spans`."""
    training_pass, channels = TrainingPass(built), built.model.input_shape[-1]
    expected = [(batch_size, *output.shape[1:]) for output in built.model.outputs]
    for size in (span.size for span in spans[:-1]):
        images = keras.KerasTensor((batch_size, *size, channels), "uint8")
        try:
            outputs = ensure_list(training_pass.compute_output_spec(images))
            works = [output.shape for output in outputs] == expected
        except (ValueError, TypeError):
            works = False
        if not works:
            raise SpecError(
                f"{built.model.name} and its normalisation do not take images of "
                f"{size[0]}x{size[1]}",
                "layers that take images of any size, as those of a network that ends in global "
                "pooling do, and a normalisation of each channel",
                "image_sizes=null",
            )
