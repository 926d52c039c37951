"""Fine-tuning: which layers train, at which rate, in which phases of a run.

A component takes the builder's model and returns the phases. A layer that does not train in a phase
keeps its weights; a batch norm that does not train also keeps its statistics, and normalises by
them (inference mode).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras

from cnntrain.errors import SpecError, find_nearest
from cnntrain.spec.knobs import Count, Factor, Positive
from cnntrain.training.networks.build import is_kernel
from cnntrain.training.schedules import Schedule


@dataclass(frozen=True)
class Phase:
    """A part of a run: the names of the layers that train in it, and how.

    `epochs` None stands for all that are left, `learning_rate` None for the optimizer's own,
    `schedule` None for that of the run; `rates` are factors of the rate for single layers. With
    `cache` the outputs of the frozen part are computed once and reused, where that is possible.
    """

    layers: frozenset[str]
    epochs: int | None = None
    learning_rate: float | None = None
    schedule: Schedule | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    cache: bool = False


def finetune(component: Callable[[keras.Model], list[Phase]], model: keras.Model) -> list[Phase]:
    """Return the phases of a run; raise SpecError if nothing would train in one of them."""
    phases = component(model)
    weighted = {layer.name for layer in model.layers if layer.trainable_weights}
    for phase in phases:
        if not phase.layers & weighted:
            raise SpecError(
                f"no layer of {model.name} that trains has weights",
                f"finetune.from_layer at or below {model.output_names[0]}",
            )
    return phases


def none(model: keras.Model) -> list[Phase]:
    """Return one phase, in which all layers train."""
    return [Phase(_find_trainable_layers(model))]


def head(model: keras.Model, *, from_layer: str | None, cache: bool) -> list[Phase]:
    """Return one phase, in which only the head trains, or all layers from `from_layer` on."""
    return [
        Phase(
            _find_layers_from(model, from_layer) if from_layer else _find_head_layers(model),
            cache=cache,
        )
    ]


def batchnorm(model: keras.Model) -> list[Phase]:
    """Return one phase, in which only batch norms and head train.

    See Frankle et al. 2020, arXiv:2003.00152. Raises SpecError for a model without batch norm.
    """
    norms = _find_batch_norms(model)
    if not norms:
        raise SpecError(
            f"finetune=batchnorm and {model.name} has no batch norm", "a network that has", None
        )
    return [Phase(_find_head_layers(model) | norms)]


def two_phase(
    model: keras.Model,
    *,
    head_epochs: Count,
    from_layer: str | None,
    learning_rate: Positive,
    schedule: Schedule | None,
    batch_norm: bool,
    cache: bool,
) -> list[Phase]:
    """Return two phases: the head alone for `head_epochs`, then all layers from `from_layer` on.

    `from_layer` None stands for all layers. The second phase has its own `learning_rate`, curve and
    optimizer state, and a `schedule` of its own unless that is None. Without `batch_norm` the batch
    norms below the head stay frozen in it, because statistics of small batches would spoil what
    they have learnt.
    """
    later = _find_layers_from(model, from_layer) if from_layer else _find_trainable_layers(model)
    if not batch_norm:
        later = later - (_find_batch_norms(model) - _find_head_layers(model))
    second = later | _find_head_layers(model)
    return [
        Phase(_find_head_layers(model), epochs=head_epochs, cache=cache),
        Phase(second, learning_rate=learning_rate, schedule=schedule, cache=cache),
    ]


def layer_wise(model: keras.Model, *, decay: Factor) -> list[Phase]:
    """Return one phase of all layers, with slower rates for lower layers (Howard & Ruder 2018).

    The rate is multiplied by `decay` for each layer with a kernel above. A layer without a kernel,
    such as a batch norm, has the rate of the kernel before it.
    """
    names = [layer.name for layer in model.layers if layer.trainable_weights]
    kernels = {layer.name for layer in model.layers if any(map(is_kernel, layer.trainable_weights))}
    rates, depth = {}, 0
    for name in reversed(names):
        rates[name] = decay**depth
        depth += name in kernels
    return [Phase(_find_trainable_layers(model), rates=rates)]


def _find_trainable_layers(model: keras.Model) -> frozenset[str]:
    """Return all layers but those whose weights the architecture fixes."""
    return frozenset(layer.name for layer in model.layers if layer.trainable)


def _find_batch_norms(model: keras.Model) -> frozenset[str]:
    """Return the batch norms of the model, without those inside nested models."""
    norms = (la for la in model.layers if isinstance(la, keras.layers.BatchNormalization))
    return frozenset(norm.name for norm in norms)


def _find_layers_from(model: keras.Model, name: str) -> frozenset[str]:
    """Return the trainable layers from the named one on, in the order of the model."""
    names = [layer.name for layer in model.layers]
    if name not in names:
        close = find_nearest(name, names)
        weighted = [layer.name for layer in model.layers if layer.weights]
        raise SpecError(
            f"finetune.from_layer is {name}, and {model.name} has no such layer",
            weighted if len(weighted) < 40 else [*weighted[:3], "…", *weighted[-30:]],
            f"finetune.from_layer={close}" if close else None,
        )
    return frozenset(names[names.index(name) :]) & _find_trainable_layers(model)


def _find_head_layers(model: keras.Model) -> frozenset[str]:
    """Return the layers behind the one named `features`.

    A model without such a layer has as its head the layers of its outputs, or, where these have no
    weights to train, the last layer that has some.
    """
    names = [layer.name for layer in model.layers]
    if "features" in names:
        return frozenset(names[names.index("features") + 1 :]) & _find_trainable_layers(model)
    outputs = {name for name in model.output_names if model.get_layer(name).trainable_weights}
    weighted = [layer.name for layer in model.layers if layer.trainable_weights]
    return frozenset(outputs or weighted[-1:])
