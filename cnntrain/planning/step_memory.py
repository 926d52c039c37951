"""What memory a training takes, before anything is allocated: read off the network's graph.

Weights, gradients, slots and activations follow from shapes. What TensorFlow needs besides was
measured (`PER_VARIABLE`): the graph of a step, with a dozen operations for each variable, exists in
several copies. What is not counted: gaps between tensors in the allocator's blocks, 6 to 12 % of
the activations.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import keras

from cnntrain.analysis.kept_activations import activations
from cnntrain.data.photos.photo_cache import SMALL
from cnntrain.planning.dataset_outline import Outline
from cnntrain.spec.spec import Spec
from cnntrain.training.finetune import Phase
from cnntrain.training.network import build_empty, cut, freeze

MIB = 2**20
# Growth of a process from before the network to after three steps of two images, less what the
# shapes give: 36 MiB and 1.4 to 1.8 MiB for each variable that trains. TF 2.21 and Keras 3.15.1, in
# fresh processes: lenet5, resnet20_v1, resnet110_v1, resnet50 (Adam and SGD), densenet_bc100_k12,
# vgg16, mobilenet_v2.
GRAPH, PER_VARIABLE = 36 * MIB, 1.6 * MIB
BATCHES = 5  # that the pipeline holds: 2 that wait, 2 that are made, 1 that is used


@dataclass(frozen=True)
class Memory:
    """Bytes that a training takes, by what they are for; `per_image` is times a batch."""

    weights: int
    half_copies: int  # of the weights, in 16 bits, with mixed precision
    gradients: int
    optimizer: int
    average: int
    activations_per_image: int
    image: int
    pieces: int
    graph: int  # of TensorFlow, on the host
    dataset: int  # in memory, on the host

    @property
    def fixed(self) -> int:
        """What does not depend on the batch, on the device that computes."""
        kinds = (self.weights, self.half_copies, self.gradients, self.optimizer, self.average)
        return sum(kinds)

    @property
    def per_image(self) -> float:
        """What each image of a batch adds, on the device that computes."""
        return self.activations_per_image / self.pieces + BATCHES * self.image

    def activations(self, batch_size: int) -> int:
        """Those of a batch; one piece of it is computed at a time."""
        return math.ceil(batch_size / self.pieces) * self.activations_per_image

    def device(self, batch_size: int) -> int:
        """What a GPU must hold."""
        return self.fixed + self.activations(batch_size) + BATCHES * batch_size * self.image

    def growth(self, batch_size: int) -> int:
        """By how much a process on a CPU grows from before the network to after some steps."""
        return self.device(batch_size) + self.graph

    def largest(self, room: float) -> int:
        """The most images in a batch for which there is room on the device; 0 for none."""
        return max(0, int((room - self.fixed) / self.per_image))

    def parts(self, batch_size: int) -> dict[str, int]:
        """The bytes of a step by what they are for, without what is zero."""
        named = asdict(self)
        parts = {kind: named[kind] for kind in ("weights", "half_copies", "gradients", "optimizer")}
        parts |= {
            "average": self.average,
            "activations": self.activations(batch_size),
            "batches": BATCHES * batch_size * self.image,
            "graph": self.graph,
            "dataset": self.dataset,
        }
        return {kind: size for kind, size in parts.items() if size}


@dataclass(frozen=True)
class Draft:
    """A network as it will be trained, with shapes but no values."""

    network: keras.Model  # from uint8 images to the logits, and those of auxiliary heads
    body: keras.Model
    phases: Sequence[Phase]


def draft(spec: Spec, outline: Outline) -> Draft:
    """Return the network of a spec without values in its weights, which takes no memory.

    Raises SpecError for what the model, its images or the finetuning refuse.
    """
    splits = outline.splits
    body = build_empty(spec, splits.image_shape, len(splits.class_names))
    with keras.StatelessScope(initialize_variables=False):
        images = keras.Input(splits.image_shape, dtype="uint8")
        scaled = keras.layers.Rescaling(1 / 255, dtype="float32", name="normalisation")(images)
        network = keras.Model(images, body(scaled), name=body.name)
    return Draft(network, body, spec.finetune(body))


def memory(spec: Spec, outline: Outline, drafted: Draft) -> Memory:
    """Return what the training takes in the phase that takes most."""
    found, kept = [], slots(spec)
    for phase in drafted.phases:
        freeze(drafted.body, phase.layers)
        found.append(in_phase(spec, outline, drafted, phase, kept))
    freeze(drafted.body, drafted.phases[-1].layers)
    return max(found, key=lambda one: one.growth(spec.batch_size) + one.dataset)


def in_phase(spec: Spec, outline: Outline, drafted: Draft, phase: Phase, slots: float) -> Memory:
    trains = [math.prod(v.shape) for v in drafted.body.trainable_variables]
    everything = sum(math.prod(v.shape) for v in drafted.body.variables)
    half = spec.precision != "float32"
    return Memory(
        weights=4 * everything,
        half_copies=2 * sum(trains) if half else 0,
        gradients=4 * sum(trains) * (1 if spec.accumulate == 1 else 2),  # one piece's, and the sum
        optimizer=round(4 * slots * sum(trains)),
        average=4 * everything if spec.ema_decay else 0,
        activations_per_image=activations(drafted.network).peak,
        image=math.prod(outline.splits.image_shape),
        pieces=spec.accumulate,
        graph=round(GRAPH + PER_VARIABLE * len(trains)),
        dataset=in_memory(spec, outline) + features(spec, outline, drafted, phase),
    )


def slots(spec: Spec) -> float:
    """How many numbers the optimizer keeps for each weight: 2 of Adam; seen on a small network."""
    small = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
    optimizer = spec.optimizer.bare(0.1)
    optimizer.build(small.trainable_variables)
    kept = sum(math.prod(v.shape) for v in optimizer.variables if len(v.shape))
    return kept / sum(math.prod(v.shape) for v in small.trainable_variables)


def in_memory(spec: Spec, outline: Outline) -> int:
    """The bytes of the images where they are kept in memory."""
    splits, cache = outline.splits, spec.dataset["cache"]
    size = sum(len(part) for _, part in splits.items()) * math.prod(splits.image_shape)
    elsewhere = cache in ("disk", "none") or (cache == "auto" and size > SMALL)
    return 0 if outline.photos and elsewhere else size


def features(spec: Spec, outline: Outline, drafted: Draft, phase: Phase) -> int:
    """The bytes of what frozen layers make of all images, where that is computed once."""
    tensor = cut(drafted.body) if phase.cache and spec.augmentation.name == "none" else None
    if tensor is None:
        return 0
    parts = (outline.splits.train, outline.splits.valid)
    return 4 * sum(len(part) for part in parts if part) * math.prod(tensor.shape[1:])
