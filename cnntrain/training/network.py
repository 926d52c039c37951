"""The network: built from the spec, given its first weights, cut where it is frozen."""

import functools
import gc
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from cnntrain.data.device_memory import WEIGHTS_SHARE, check_memory
from cnntrain.data.source import Splits
from cnntrain.errors import SpecError
from cnntrain.models.parts.keras_private import get_graph, iterate_nodes
from cnntrain.spec.spec import Spec
from cnntrain.training.normalisation import build_normalisation
from cnntrain.training.warm_start import SourceWeights, warm_start_model


@dataclass(frozen=True)
class BuiltNetwork:
    """A network and what it is made of.

    `network` takes uint8 images (B, H, W, C) and gives float32 logits (B, classes): it is evaluated
    and saved. `body` is the builder's own network behind the normalisation, with the auxiliary
    heads that are there for the training loss only. `loaded` says what came from where.
    """

    network: keras.Model
    model: keras.Model
    warm_start_report: dict[str, Any] | None

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables: the network's, then those of auxiliary heads."""
        own = self.network.variables
        return own + [v for v in self.model.variables if all(v is not other for other in own)]


@functools.cache
def freeze_imported_objects() -> None:
    """Tell the garbage collector, once per process, that what exists by now is no garbage.

    Imports have made half a million objects. Every `clear_session` collects garbage, which takes a
    quarter of a second longer if they are searched, too.
    """
    gc.freeze()


def reset_keras(precision: str) -> None:
    """Let Keras forget the networks made so far, and compute in `precision` from now on."""
    freeze_imported_objects()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(precision)  # which clearing has reset


def build_empty_network(spec: Spec, image_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """Return the builder's network with shapes but no values in its weights: it takes no memory."""
    model = spec.model
    if model.knobs.get("weights"):  # they would be looked for, and fetched
        model = replace(model, knobs={**model.knobs, "weights": None})
    reset_keras(spec.precision)
    with keras.StatelessScope(initialize_variables=False):
        return model(image_shape, num_classes)


def check_network_memory(body: keras.Model) -> None:
    """Refuse a network whose weights alone are more than the memory of this machine."""
    count = count_parameters(body)["total"]
    fitting = "a network that fits: cnntrain plan says what each part takes"
    check_memory(f"the network's {count:,} parameters", 4 * count, WEIGHTS_SHARE, fitting)


def build_network(
    spec: Spec,
    splits: Splits,
    total_steps: int,
    source: SourceWeights | None = None,
    constants: dict[str, Any] | None = None,
) -> BuiltNetwork:
    """Return the network, with its first weights.

    Twice the same, whatever was done before: names of layers, and so of variables, begin from the
    same numbers, and so do the seeds of dropout. `source` has weights to begin with; `constants`
    are those of the normalisation of a run that is resumed, whose weights are in its state.
    """
    shared = keras.distribution.distribution()
    check_network_memory(build_empty_network(spec, splits.image_shape, len(splits.class_names)))
    reset_keras(spec.precision)
    if shared is not None:  # it was reset, too
        keras.distribution.set_distribution(shared)
    keras.utils.set_random_seed(spec.seed)
    body = spec.model(splits.image_shape, len(splits.class_names))
    spec.initializer(body, spec.seed)
    set_batch_norm_momentum(body, spec.batch_norm_momentum, total_steps)
    loaded = warm_start_model(body, source, splits.class_names) if source else None
    images = keras.Input(splits.image_shape, dtype="uint8", name="images")
    first = (
        keras.layers.Rescaling(**constants, dtype="float32", name="normalisation")
        if constants
        else choose_normalisation(spec, splits, body, source)
    )
    main = body
    if len(body.outputs) > 1:
        main = keras.Model(body.inputs, body.outputs[0], name=body.name)
    return BuiltNetwork(keras.Model(images, main(first(images)), name=body.name), body, loaded)


def attach_auxiliary_heads(built: BuiltNetwork) -> keras.Model:
    """The network with its auxiliary heads, if it has any: what is trained."""
    if len(built.model.outputs) == 1:
        return built.network
    images = keras.Input(built.network.input_shape[1:], dtype="uint8")
    return keras.Model(images, built.model(built.network.get_layer("normalisation")(images)))


def choose_normalisation(
    spec: Spec, splits: Splits, body: keras.Model, source: SourceWeights | None
) -> keras.layers.Layer:
    """Return the normalisation; `auto` is what the network or its weights are used to.

    Raises SpecError for pixels that would be normalised twice.
    """
    kind = spec.normalisation
    own = any(layer.name == "preprocessing" for layer in body.layers)
    if own and kind != "auto":
        raise SpecError(
            f"normalisation is {kind} and {body.name} brings its own preprocessing",
            "pixels that are scaled once",
            "normalisation=auto",
        )
    if kind == "auto" and source is not None and source.normalisation is not None and not own:
        check_normalisation_constants(source, splits.image_shape)
        return keras.layers.Rescaling(**source.normalisation, dtype="float32", name="normalisation")
    kind = ("none" if own else "standardise") if kind == "auto" else kind
    return build_normalisation(kind, splits.train)


def check_normalisation_constants(source: SourceWeights, image_shape: tuple[int, int, int]) -> None:
    """Refuse a mean image, or channels, of another shape than these images."""
    for value in (source.normalisation or {}).values():
        shape = np.shape(value)
        if any(a not in (1, b) for a, b in zip(shape[::-1], image_shape[::-1], strict=False)):
            colour = shape[-1] == 3 and image_shape[-1] == 1
            raise SpecError(
                f"{source.path} subtracts a mean of shape {shape} and the images are {image_shape}",
                "images of that shape",
                "dataset.channels=3" if colour else "normalisation=standardise",
            )


def get_normalisation_constants(network: keras.Model) -> dict[str, Any]:
    """The constants of the normalisation, for the state."""
    layer = network.get_layer("normalisation")
    return {"scale": layer.scale, "offset": layer.offset}


def set_batch_norm_momentum(body: keras.Model, momentum: float | str, total_steps: int) -> None:
    """Give every batch norm a memory that fits the run.

    With `auto` the weight of the initial statistics after the run is at most exp(-10); with
    Keras' 0.99 it is still 43 % after 85 steps, and evaluation sees statistics of no data.
    """
    if momentum == "auto":
        momentum = min(0.99, max(0.5, 1 - 10 / total_steps))
    for layer in iterate_leaf_layers(body):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum


def repeats_grey_channel(body: keras.Model) -> bool:
    """Whether a network repeats grey images as three channels, which its weights are made for."""
    grey = body.inputs[0].shape[-1] == 1
    return grey and any(
        layer.name == "preprocessing" and layer.output.shape[-1] == 3 for layer in body.layers
    )


def iterate_leaf_layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a network, those of nested models instead of these."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from iterate_leaf_layers(layer)
        else:
            yield layer


def freeze_layers_except(body: keras.Model, training: frozenset[str]) -> None:
    """Let the named layers train and no others."""
    for layer in body.layers:
        layer.trainable = layer.name in training


def find_freeze_boundary(body: keras.Model) -> keras.KerasTensor | None:
    """The tensor below which all is frozen, where one tensor divides the network; else None.

    Dropouts right below the first layer that trains stay above it: they belong to training.
    """
    calls = {id(out): node for node in iterate_nodes(get_graph(body)) for out in node.outputs}
    tensor, chain = body.outputs[0], []  # from the logits back, as far as there is one way
    while (call := calls.get(id(tensor))) is not None and len(call.input_tensors) == 1:
        tensor = call.input_tensors[0]
        chain.append((call.operation, tensor))
    train = [
        number for number, (op, _) in enumerate(chain) if list_weights(op, "trainable_weights")
    ]
    weighted = [layer for layer in body.layers if layer.weights]
    if len(train) != sum(bool(layer.trainable_weights) for layer in weighted):
        return None
    last = train[-1]
    while last + 1 < len(chain) and isinstance(chain[last + 1][0], keras.layers.Dropout):
        last += 1
    above = sum(bool(list_weights(op, "weights")) for op, _ in chain[: last + 1])
    return chain[last][1] if above < len(weighted) else None


def list_weights(operation: keras.Operation, kind: str) -> list[keras.Variable]:
    """The weights of what may be a layer or a bare operation, which has none."""
    return getattr(operation, kind, [])


def split_network(
    built: BuiltNetwork, tensor: keras.KerasTensor
) -> tuple[keras.Model, keras.Model]:
    """Return the network below and above a tensor of its body: images to features to logits."""
    images = keras.Input(built.network.input_shape[1:], dtype="uint8")
    below = keras.Model(built.model.inputs, tensor)
    first = built.network.get_layer("normalisation")
    above = keras.Model(tensor, built.model.outputs[0])
    return keras.Model(images, below(first(images), training=False)), above


def count_parameters(network: keras.Model) -> dict[str, int]:
    trainable = sum(math.prod(v.shape) for v in network.trainable_weights)
    fixed = sum(math.prod(v.shape) for v in network.non_trainable_weights)
    return {"total": trainable + fixed, "trainable": trainable}


def count_activations(network: keras.Model) -> int:
    """The numbers that all layers put out for one image; training keeps most of them."""
    outputs = [
        output for layer in iterate_leaf_layers(network) for output in ensure_list(layer.output)
    ]
    return sum(math.prod(output.shape[1:]) for output in outputs)


def ensure_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
