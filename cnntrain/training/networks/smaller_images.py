"""Networks that are trained on smaller images than they are saved for."""

from collections.abc import Sequence
from typing import Any

import keras

from cnntrain.data.image_sizes import SizeSpan
from cnntrain.errors import SpecError
from cnntrain.training.networks.build import ensure_list
from cnntrain.training.networks.normalisation import tile_normalisation


class TrainingPass(keras.Operation):
    """The forward pass of a training step: uint8 images to the outputs of `model`."""

    def __init__(self, network: keras.Model, model: keras.Model):
        super().__init__()
        self.model, self.normalise = model, tile_normalisation(network.get_layer("normalisation"))

    def call(self, images: Any) -> Any:
        return self.model(self.normalise(images), training=True)


def accept_any_image_size(model: keras.Model) -> None:
    """Let a model, and the models within it, take images of other sizes than it was built for.

    Keras compares an input with `input_spec`, which no file holds: a saved network, and a network
    that has this model as a layer, check their images as before.
    """
    model.input_spec = None
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            accept_any_image_size(layer)


def allow_smaller_images(
    network: keras.Model, model: keras.Model, spans: Sequence[SizeSpan], batch_size: int
) -> None:
    """Let `model`, behind the normalisation of `network`, take images of all sizes of `spans`.

    Raises SpecError if its layers cannot: nothing is computed to find out but shapes.
    """
    if len(spans) == 1:
        return
    accept_any_image_size(model)
    training_pass, channels = TrainingPass(network, model), model.input_shape[-1]
    expected = [(batch_size, *output.shape[1:]) for output in model.outputs]
    for size in (span.size for span in spans[:-1]):
        images = keras.KerasTensor((batch_size, *size, channels), "uint8")
        try:
            outputs = ensure_list(training_pass.compute_output_spec(images))
            works = [output.shape for output in outputs] == expected
        except (ValueError, TypeError):
            works = False
        if not works:
            raise SpecError(
                f"{model.name} and its normalisation do not take images of {size[0]}x{size[1]}",
                "layers that take images of any size, as those of a network that ends in global "
                "pooling do, and a normalisation of each channel",
                "image_sizes=null",
            )
