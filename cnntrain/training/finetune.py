"""Fine-tuning: which layers train, at which rate, in which phases of a run.

A component takes the network's body and returns the phases. A layer that does not train in a phase
keeps its weights, and its batch norm uses and keeps its statistics (inference mode).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras

from cnntrain.errors import SpecError, find_nearest
from cnntrain.spec.knobs import Count, Factor, Positive


@dataclass(frozen=True)
class Phase:
    """A part of a run: the names of the layers that train in it, and how.

    `epochs` None is all that are left, `learning_rate` None the optimizer's own; `rates` are
    factors of it for single layers. `cache` wants the features of frozen layers computed once.
    """

    layers: frozenset[str]
    epochs: int | None = None
    learning_rate: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    cache: bool = False


def finetune(component: Callable[[keras.Model], list[Phase]], body: keras.Model) -> list[Phase]:
    """Return the phases of a run; SpecError for one in which nothing would train."""
    phases = component(body)
    weighted = {layer.name for layer in body.layers if layer.trainable_weights}
    for phase in phases:
        if not phase.layers & weighted:
            raise SpecError(
                f"no layer of {body.name} that trains has weights",
                f"finetune.from_layer at or below {body.output_names[0]}",
            )
    return phases


def none(body: keras.Model) -> list[Phase]:
    """One phase, all layers."""
    return [Phase(_find_trainable_layers(body))]


def head(body: keras.Model, *, from_layer: str | None, cache: bool) -> list[Phase]:
    """Only the head trains, or all from `from_layer` on."""
    return [
        Phase(
            _find_layers_from(body, from_layer) if from_layer else _find_head_layers(body),
            cache=cache,
        )
    ]


def batchnorm(body: keras.Model) -> list[Phase]:
    """Only the batch norms and the head train (Frankle et al. 2020, arXiv:2003.00152)."""
    norms = _find_batch_norms(body)
    if not norms:
        raise SpecError(
            f"finetune=batchnorm and {body.name} has no batch norm", "a network that has", None
        )
    return [Phase(_find_head_layers(body) | norms)]


def two_phase(
    body: keras.Model,
    *,
    head_epochs: Count,
    from_layer: str | None,
    learning_rate: Positive,
    batch_norm: bool,
    cache: bool,
) -> list[Phase]:
    """First the head for `head_epochs`, then all layers, or all from `from_layer` on.

    The second phase has its own `learning_rate`, curve and optimizer state. Without `batch_norm`
    the batch norms below the head stay frozen in it: statistics of small batches would wreck them.
    """
    later = _find_layers_from(body, from_layer) if from_layer else _find_trainable_layers(body)
    if not batch_norm:
        later = later - (_find_batch_norms(body) - _find_head_layers(body))
    return [
        Phase(_find_head_layers(body), epochs=head_epochs, cache=cache),
        Phase(later | _find_head_layers(body), learning_rate=learning_rate, cache=cache),
    ]


def layer_wise(body: keras.Model, *, decay: Factor) -> list[Phase]:
    """All layers; the rate falls by `decay` with each layer below the head (ULMFiT, 2018).

    A layer without a kernel, such as a batch norm, has the rate of the kernel before it.
    """
    names = [layer.name for layer in body.layers if layer.trainable_weights]
    kernels = {la.name for la in body.layers if any(len(w.shape) > 1 for w in la.trainable_weights)}
    rates, depth = {}, 0
    for name in reversed(names):
        rates[name] = decay**depth
        depth += name in kernels
    return [Phase(_find_trainable_layers(body), rates=rates)]


def _find_trainable_layers(body: keras.Model) -> frozenset[str]:
    """All layers but those whose weights the architecture fixes."""
    return frozenset(layer.name for layer in body.layers if layer.trainable)


def _find_batch_norms(body: keras.Model) -> frozenset[str]:
    """The batch norms among the layers; not those inside nested models, as of a 1,000-layer net."""
    norms = (la for la in body.layers if isinstance(la, keras.layers.BatchNormalization))
    return frozenset(norm.name for norm in norms)


def _find_layers_from(body: keras.Model, name: str) -> frozenset[str]:
    """The layers from the named one on, in the order of the network."""
    names = [layer.name for layer in body.layers]
    if name not in names:
        close = find_nearest(name, names)
        weighted = [layer.name for layer in body.layers if layer.weights]
        raise SpecError(
            f"finetune.from_layer is {name}, and {body.name} has no such layer",
            weighted if len(weighted) < 40 else [*weighted[:3], "…", *weighted[-30:]],
            f"finetune.from_layer={close}" if close else None,
        )
    return frozenset(names[names.index(name) :]) & _find_trainable_layers(body)


def _find_head_layers(body: keras.Model) -> frozenset[str]:
    """The layers behind the one named `features`; without it, those that put out the logits, or
    the last one that has weights to train.
    """
    names = [layer.name for layer in body.layers]
    if "features" in names:
        return frozenset(names[names.index("features") + 1 :]) & _find_trainable_layers(body)
    outputs = {name for name in body.output_names if body.get_layer(name).trainable_weights}
    weighted = [layer.name for layer in body.layers if layer.trainable_weights]
    return frozenset(outputs or weighted[-1:])
