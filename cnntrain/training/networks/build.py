"""Build the network of a spec, with its first weights, and split it where it is frozen."""

import functools
import gc
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from cnntrain.data.device_memory import WEIGHTS_SHARE, check_memory
from cnntrain.data.listing import pick_for_statistics
from cnntrain.data.source import Splits
from cnntrain.errors import SpecError
from cnntrain.models.parts.keras_private import get_graph, iterate_nodes
from cnntrain.spec.spec import Spec
from cnntrain.training.networks.normalisation import build_normalisation
from cnntrain.training.networks.warm_start import SourceWeights, warm_start_model
from cnntrain.training.networks.whitening import whiten_first_layer


@dataclass(frozen=True)
class BuiltNetwork:
    """A network and the model that it is made of.

    `network` takes uint8 images (B, H, W, C) and returns float32 logits (B, classes); it is what is
    evaluated and saved. `model` is the builder's own, behind the normalisation, with the auxiliary
    heads that only the training loss reads. `warm_start_report` says which layers got weights from
    where, None without a warm start.
    """

    network: keras.Model
    model: keras.Model
    warm_start_report: dict[str, Any] | None

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables: those of the network, then those of auxiliary heads."""
        variables = self.network.variables
        heads = [v for v in self.model.variables if all(v is not other for other in variables)]
        return variables + heads


@functools.cache
def freeze_imported_objects() -> None:
    """Tell the garbage collector, once per process, to skip the objects that exist by now.

    Imports have created half a million objects. Every `clear_session` collects garbage, which takes
    a quarter of a second longer if they are searched, too.
    """
    gc.freeze()


def reset_keras(precision: str) -> None:
    """Let Keras forget the networks built so far, and compute in `precision` from now on."""
    freeze_imported_objects()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(precision)  # clear_session has reset it


def build_empty_network(spec: Spec, image_shape: tuple[int, ...], num_classes: int) -> keras.Model:
    """Return the model of a spec with shapes but no values in its weights: it takes no memory.

    Networks that were built before must not be used any more: Keras forgets them.
    """
    model = spec.model
    if model.knobs.get("weights"):  # or they would be looked up and downloaded
        model = replace(model, knobs={**model.knobs, "weights": None})
    reset_keras(spec.precision)
    with keras.StatelessScope(initialize_variables=False):
        return model(image_shape, num_classes)


def check_network_memory(model: keras.Model) -> None:
    """Raise SpecError if the weights alone do not fit into the memory of this machine."""
    count = count_parameters(model)["total"]
    expected = "a network that fits: cnntrain plan says what each part takes"
    check_memory(f"the network's {count:,} parameters", 4 * count, WEIGHTS_SHARE, expected)


def build_network(
    spec: Spec,
    splits: Splits,
    total_steps: int,
    source: SourceWeights | None = None,
    constants: dict[str, Any] | None = None,
) -> BuiltNetwork:
    """Return the network of a spec with its first weights.

    Seeds all random generators, and lets Keras forget the networks built before, which must not be
    used any more. So the result does not depend on them: names of layers, and so of
    variables, begin from the same numbers, and so do the seeds of dropout. `source` has the weights
    of a warm start. `constants` are those of the normalisation of a resumed run, whose weights the
    checkpoint restores later. Raises SpecError for a network that does not fit into memory, weights
    that do not fit the network, and pixels that would be normalised twice.
    """
    distribution = keras.distribution.distribution()
    check_network_memory(build_empty_network(spec, splits.image_shape, len(splits.class_names)))
    reset_keras(spec.precision)
    if distribution is not None:  # reset_keras has removed it
        keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(spec.seed)
    model = spec.model(splits.image_shape, len(splits.class_names))
    spec.initializer(model, spec.seed)
    set_batch_norm_momentum(model, spec.batch_norm_momentum, total_steps)
    first = (
        keras.layers.Rescaling(**constants, dtype="float32", name="normalisation")
        if constants
        else choose_normalisation(spec, splits, model, source)
    )
    if constants is None and (whitening := getattr(model, "whitening", None)) is not None:
        whiten_first_layer(model.get_layer(whitening), first, splits.train)
    report = warm_start_model(model, source, splits.class_names) if source else None
    images = keras.Input(splits.image_shape, dtype="uint8", name="images")
    main = model
    if len(model.outputs) > 1:
        main = keras.Model(model.inputs, model.outputs[0], name=model.name)
    return BuiltNetwork(keras.Model(images, main(first(images)), name=model.name), model, report)


def choose_normalisation(
    spec: Spec, splits: Splits, model: keras.Model, source: SourceWeights | None
) -> keras.layers.Layer:
    """Return the normalisation layer; `auto` is the one that the network or its weights expect.

    Raises SpecError if pixels would be normalised twice.
    """
    kind = spec.normalisation
    own = any(layer.name == "preprocessing" for layer in model.layers)
    if own and kind != "auto":
        raise SpecError(
            f"normalisation is {kind} and {model.name} brings its own preprocessing",
            "pixels that are scaled once",
            "normalisation=auto",
        )
    if kind == "auto" and source is not None and source.normalisation is not None and not own:
        check_normalisation_constants(source, splits.image_shape)
        return keras.layers.Rescaling(**source.normalisation, dtype="float32", name="normalisation")
    kind = ("none" if own else "standardise") if kind == "auto" else kind
    return build_normalisation(kind, pick_for_statistics(splits.train))


def check_normalisation_constants(source: SourceWeights, image_shape: tuple[int, int, int]) -> None:
    """Raise SpecError if the source's mean image, or its channels, do not fit the images."""
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
    """Return `scale` and `offset` of the network's normalisation, which checkpoints hold."""
    layer = network.get_layer("normalisation")
    return {"scale": layer.scale, "offset": layer.offset}


def set_batch_norm_momentum(model: keras.Model, momentum: float | str, total_steps: int) -> None:
    """Set the momentum of every batch norm, with `auto` to one that fits the length of the run.

    With `auto` the weight of the initial statistics after a run of 15 steps or more is at most
    exp(-10). With Keras' 0.99 it is still 43 % after 85 steps, so that evaluation would partly
    normalise by mean 0 and variance 1.
    """
    if momentum == "auto":
        momentum = min(0.99, max(0.5, 1 - 10 / total_steps))
    for layer in iterate_leaf_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum


def repeats_grey_channel(model: keras.Model) -> bool:
    """Return whether a model repeats grey images as three channels, which its weights expect."""
    grey = model.inputs[0].shape[-1] == 1
    return grey and any(
        layer.name == "preprocessing" and layer.output.shape[-1] == 3 for layer in model.layers
    )


def iterate_leaf_layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a network; nested models are replaced by their layers."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from iterate_leaf_layers(layer)
        else:
            yield layer


def freeze_layers_except(model: keras.Model, training: frozenset[str]) -> None:
    """Make the named layers trainable, and no others."""
    for layer in model.layers:
        layer.trainable = layer.name in training


def find_freeze_boundary(model: keras.Model) -> keras.KerasTensor | None:
    """Return the tensor below which all layers are frozen, or None.

    There is none if several tensors lead from frozen layers to layers that train, or if nothing is
    frozen. Dropouts right below the first layer that trains count as above it, because their units
    are drawn anew in each step.
    """
    calls = {id(out): node for node in iterate_nodes(get_graph(model)) for out in node.outputs}
    tensor, chain = model.outputs[0], []  # from the logits back, to where branches meet
    while (call := calls.get(id(tensor))) is not None and len(call.input_tensors) == 1:
        tensor = call.input_tensors[0]
        chain.append((call.operation, tensor))
    train = [
        number for number, (op, _) in enumerate(chain) if list_weights(op, "trainable_weights")
    ]
    weighted = [layer for layer in model.layers if layer.weights]
    if len(train) != sum(bool(layer.trainable_weights) for layer in weighted):
        return None
    last = train[-1]
    while last + 1 < len(chain) and isinstance(chain[last + 1][0], keras.layers.Dropout):
        last += 1
    above = sum(bool(list_weights(op, "weights")) for op, _ in chain[: last + 1])
    return chain[last][1] if above < len(weighted) else None


def list_weights(operation: keras.Operation, kind: str) -> list[keras.Variable]:
    """Return a layer's `weights` or `trainable_weights` (`kind`), or none for a bare operation."""
    return getattr(operation, kind, [])


def split_network(
    built: BuiltNetwork, tensor: keras.KerasTensor
) -> tuple[keras.Model, keras.Model]:
    """Return the networks below and above a tensor: images to features, and features to logits."""
    images = keras.Input(built.network.input_shape[1:], dtype="uint8")
    below = keras.Model(built.model.inputs, tensor)
    first = built.network.get_layer("normalisation")
    above = keras.Model(tensor, built.model.outputs[0])
    return keras.Model(images, below(first(images), training=False)), above


def is_kernel(variable: keras.Variable) -> bool:
    """Return whether a variable is a kernel: biases, and scale and shift of norms, are vectors."""
    return len(variable.shape) > 1


def is_bias(variable: keras.Variable) -> bool:
    """Return whether a variable is added to a feature map: a bias, or the offset of a norm."""
    return not is_kernel(variable) and variable.name in ("bias", "beta")


def count_parameters(network: keras.Model) -> dict[str, int]:
    """Return the number of parameters, `total` and `trainable`."""
    trainable = sum(math.prod(v.shape) for v in network.trainable_weights)
    others = sum(math.prod(v.shape) for v in network.non_trainable_weights)
    return {"total": trainable + others, "trainable": trainable}


def count_activations(network: keras.Model) -> int:
    """Return how many numbers all layers output for one image; training keeps most of them."""
    outputs = [
        output for layer in iterate_leaf_layers(network) for output in ensure_list(layer.output)
    ]
    return sum(math.prod(output.shape[1:]) for output in outputs)


def ensure_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
