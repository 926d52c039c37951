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

from cnntrain.analysis.kept_activations import estimate_activations
from cnntrain.data.photos.photo_cache import SMALL_CACHE
from cnntrain.planning.dataset_outline import DatasetOutline
from cnntrain.spec.spec import Spec
from cnntrain.training.finetune import Phase
from cnntrain.training.network import (
    build_empty_network,
    find_freeze_boundary,
    freeze_layers_except,
)

MIB = 2**20
# Growth of a process from before the network to after three steps of two images, less what the
# shapes give: 36 MiB and 1.4 to 1.8 MiB for each variable that trains. TF 2.21 and Keras 3.15.1, in
# fresh processes: lenet5, resnet20_v1, resnet110_v1, resnet50 (Adam and SGD), densenet_bc100_k12,
# vgg16, mobilenet_v2.
GRAPH_BYTES, GRAPH_BYTES_PER_VARIABLE = 36 * MIB, 1.6 * MIB
PIPELINE_BATCHES = 5  # that the pipeline holds: 2 that wait, 2 that are made, 1 that is used


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a training takes, by what they are for; `per_image` is times a batch."""

    weights: int
    half_copies: int  # of the weights, in 16 bits, with mixed precision
    gradients: int
    optimizer: int
    ema: int
    activations_per_image: int
    image_bytes: int
    micro_batches: int
    graph: int  # of TensorFlow, on the host
    dataset: int  # in memory, on the host

    @property
    def fixed_bytes(self) -> int:
        """What does not depend on the batch, on the device that computes."""
        kinds = (self.weights, self.half_copies, self.gradients, self.optimizer, self.ema)
        return sum(kinds)

    @property
    def bytes_per_image(self) -> float:
        """What each image of a batch adds, on the device that computes."""
        return self.activations_per_image / self.micro_batches + PIPELINE_BATCHES * self.image_bytes

    def compute_activation_bytes(self, batch_size: int) -> int:
        """Those of a batch; one piece of it is computed at a time."""
        return math.ceil(batch_size / self.micro_batches) * self.activations_per_image

    def compute_device_bytes(self, batch_size: int) -> int:
        """What a GPU must hold."""
        return (
            self.fixed_bytes
            + self.compute_activation_bytes(batch_size)
            + PIPELINE_BATCHES * batch_size * self.image_bytes
        )

    def compute_process_growth(self, batch_size: int) -> int:
        """By how much a process on a CPU grows from before the network to after some steps."""
        return self.compute_device_bytes(batch_size) + self.graph

    def find_largest_batch(self, room: float) -> int:
        """The most images in a batch for which there is room on the device; 0 for none."""
        return max(0, int((room - self.fixed_bytes) / self.bytes_per_image))

    def list_parts(self, batch_size: int) -> dict[str, int]:
        """The bytes of a step by what they are for, without what is zero."""
        named = asdict(self)
        parts = {kind: named[kind] for kind in ("weights", "half_copies", "gradients", "optimizer")}
        parts |= {
            "average": self.ema,
            "activations": self.compute_activation_bytes(batch_size),
            "batches": PIPELINE_BATCHES * batch_size * self.image_bytes,
            "graph": self.graph,
            "dataset": self.dataset,
        }
        return {kind: size for kind, size in parts.items() if size}


@dataclass(frozen=True)
class NetworkDraft:
    """A network as it will be trained, with shapes but no values."""

    network: keras.Model  # from uint8 images to the logits, and those of auxiliary heads
    model: keras.Model
    phases: Sequence[Phase]


def draft_network(spec: Spec, outline: DatasetOutline) -> NetworkDraft:
    """Return the network of a spec without values in its weights, which takes no memory.

    Raises SpecError for what the model, its images or the finetuning refuse.
    """
    splits = outline.splits
    body = build_empty_network(spec, splits.image_shape, len(splits.class_names))
    with keras.StatelessScope(initialize_variables=False):
        images = keras.Input(splits.image_shape, dtype="uint8")
        scaled = keras.layers.Rescaling(1 / 255, dtype="float32", name="normalisation")(images)
        network = keras.Model(images, body(scaled), name=body.name)
    return NetworkDraft(network, body, spec.finetune(body))


def estimate_memory(spec: Spec, outline: DatasetOutline, drafted: NetworkDraft) -> MemoryEstimate:
    """Return what the training takes in the phase that takes most."""
    found, kept = [], count_state_per_weight(spec)
    for phase in drafted.phases:
        freeze_layers_except(drafted.model, phase.layers)
        found.append(estimate_phase_memory(spec, outline, drafted, phase, kept))
    freeze_layers_except(drafted.model, drafted.phases[-1].layers)
    return max(found, key=lambda one: one.compute_process_growth(spec.batch_size) + one.dataset)


def estimate_phase_memory(
    spec: Spec, outline: DatasetOutline, drafted: NetworkDraft, phase: Phase, slots: float
) -> MemoryEstimate:
    trains = [math.prod(v.shape) for v in drafted.model.trainable_variables]
    everything = sum(math.prod(v.shape) for v in drafted.model.variables)
    half = spec.precision != "float32"
    return MemoryEstimate(
        weights=4 * everything,
        half_copies=2 * sum(trains) if half else 0,
        gradients=4 * sum(trains) * (1 if spec.accumulate == 1 else 2),  # one piece's, and the sum
        optimizer=round(4 * slots * sum(trains)),
        ema=4 * everything if spec.ema_decay else 0,
        activations_per_image=estimate_activations(drafted.network).peak_bytes,
        image_bytes=math.prod(outline.splits.image_shape),
        micro_batches=spec.accumulate,
        graph=round(GRAPH_BYTES + GRAPH_BYTES_PER_VARIABLE * len(trains)),
        dataset=count_cached_image_bytes(spec, outline)
        + count_feature_bytes(spec, outline, drafted, phase),
    )


def count_state_per_weight(spec: Spec) -> float:
    """How many numbers the optimizer keeps for each weight: 2 of Adam; seen on a small network."""
    small = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
    optimizer = spec.optimizer.bound_function(0.1)
    optimizer.build(small.trainable_variables)
    kept = sum(math.prod(v.shape) for v in optimizer.variables if len(v.shape))
    return kept / sum(math.prod(v.shape) for v in small.trainable_variables)


def count_cached_image_bytes(spec: Spec, outline: DatasetOutline) -> int:
    """The bytes of the images where they are kept in memory."""
    splits, cache = outline.splits, spec.dataset["cache"]
    size = sum(len(part) for _, part in splits.items()) * math.prod(splits.image_shape)
    elsewhere = cache in ("disk", "none") or (cache == "auto" and size > SMALL_CACHE)
    return 0 if outline.has_photos and elsewhere else size


def count_feature_bytes(
    spec: Spec, outline: DatasetOutline, drafted: NetworkDraft, phase: Phase
) -> int:
    """The bytes of what frozen layers make of all images, where that is computed once."""
    tensor = (
        find_freeze_boundary(drafted.model)
        if phase.cache and spec.augmentation.name == "none"
        else None
    )
    if tensor is None:
        return 0
    parts = (outline.splits.train, outline.splits.valid)
    return 4 * sum(len(part) for part in parts if part) * math.prod(tensor.shape[1:])
