"""Estimate the memory that training takes from the network's graph, before it is allocated.

Weights, gradients, optimizer state and activations follow from shapes. What TensorFlow needs
besides was measured (`GRAPH_BYTES_PER_VARIABLE`): the graph of a step, with a dozen operations for
each variable, exists in several copies. Not counted are the gaps between tensors in the
allocator's blocks, 6 to 12 % of the activations.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import keras

from cnntrain.analysis.kept_activations import estimate_activations
from cnntrain.data.photos.photo_cache import SMALL_CACHE
from cnntrain.planning.dataset_outline import DatasetOutline
from cnntrain.spec.contradictions import count_known_replicas
from cnntrain.spec.spec import Spec
from cnntrain.training.finetune import Phase
from cnntrain.training.networks.build import (
    build_empty_network,
    find_freeze_boundary,
    freeze_layers_except,
)

MIB = 2**20
# By how much a process grows from before the network to after three steps of two images, less what
# the shapes give: 36 MiB, and 1.4 to 1.8 MiB for each variable that trains. Measured with TF 2.21
# and Keras 3.15.1 in fresh processes: lenet5, resnet20_v1, resnet110_v1, resnet50 (Adam and SGD),
# densenet_bc100_k12, vgg16, mobilenet_v2.
GRAPH_BYTES, GRAPH_BYTES_PER_VARIABLE = 36 * MIB, 1.6 * MIB
PIPELINE_BATCHES = 5  # batches in the pipeline: 2 wait, 2 are being made, 1 is in use


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that training takes, by what they are for, of the whole run or for each image."""

    weights: int
    half_copies: int  # 16-bit copies of the weights, with mixed precision
    gradients: int
    optimizer: int
    ema: int
    activations_per_image: int
    image_bytes: int
    micro_batches: int
    batch_multiple: int  # of which every batch size is a multiple: micro-batches x devices
    graph: int  # the graph of a step in TensorFlow, on the host
    images: int  # images that are kept in memory, on the host
    features: int  # outputs of frozen layers that are kept in memory, on the host

    @property
    def dataset(self) -> int:
        """The bytes of images and features that are kept in memory, on the host."""
        return self.images + self.features

    @property
    def host_bytes(self) -> int:
        """The bytes that the host needs besides those of the device that computes."""
        return self.graph + self.dataset

    @property
    def fixed_bytes(self) -> int:
        """The bytes on the device that computes, whatever the batch size."""
        kinds = (self.weights, self.half_copies, self.gradients, self.optimizer, self.ema)
        return sum(kinds)

    @property
    def bytes_per_image(self) -> float:
        """The bytes that each image of a batch adds on the device that computes."""
        return self.activations_per_image / self.micro_batches + PIPELINE_BATCHES * self.image_bytes

    def compute_activation_bytes(self, batch_size: int) -> int:
        """Return the activation bytes of a batch, of which one micro-batch is alive at a time."""
        return math.ceil(batch_size / self.micro_batches) * self.activations_per_image

    def compute_device_bytes(self, batch_size: int) -> int:
        """Return the bytes that the device that computes must hold."""
        return (
            self.fixed_bytes
            + self.compute_activation_bytes(batch_size)
            + PIPELINE_BATCHES * batch_size * self.image_bytes
        )

    def compute_process_growth(self, batch_size: int) -> int:
        """Return the bytes that a process on a CPU grows by, from before the network to step 3."""
        return self.compute_device_bytes(batch_size) + self.graph

    def find_largest_batch(self, free_bytes: float) -> int:
        """Return the largest batch size, a multiple of `batch_multiple`, that fits, or 0."""
        count = (free_bytes - self.fixed_bytes) / (self.batch_multiple * self.bytes_per_image)
        return self.batch_multiple * max(0, int(count))

    def list_parts(self, batch_size: int) -> dict[str, int]:
        """Return the bytes of a step by what they are for, without those that are zero."""
        sizes = asdict(self)
        parts = {kind: sizes[kind] for kind in ("weights", "half_copies", "gradients", "optimizer")}
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
    model: keras.Model  # the builder's own network, behind the normalisation
    phases: Sequence[Phase]


def draft_network(spec: Spec, outline: DatasetOutline) -> NetworkDraft:
    """Return the network of a spec without values in its weights, which takes no memory.

    Raises SpecError if the model refuses its settings or images, or `finetune` the model.
    """
    splits = outline.splits
    model = build_empty_network(spec, splits.image_shape, len(splits.class_names))
    with keras.StatelessScope(initialize_variables=False):
        images = keras.Input(splits.image_shape, dtype="uint8")
        scaled = keras.layers.Rescaling(1 / 255, dtype="float32", name="normalisation")(images)
        network = keras.Model(images, model(scaled), name=model.name)
    return NetworkDraft(network, model, spec.finetune(model))


def estimate_memory(spec: Spec, outline: DatasetOutline, draft: NetworkDraft) -> MemoryEstimate:
    """Return the memory that training takes in the phase that takes most.

    Leaves the layers of the last phase trainable.
    """
    estimates, state_per_weight = [], count_state_per_weight(spec)
    for phase in draft.phases:
        freeze_layers_except(draft.model, phase.layers)
        estimates.append(estimate_phase_memory(spec, outline, draft, phase, state_per_weight))
    freeze_layers_except(draft.model, draft.phases[-1].layers)
    return max(estimates, key=lambda e: e.compute_process_growth(spec.batch_size) + e.dataset)


def estimate_phase_memory(
    spec: Spec, outline: DatasetOutline, draft: NetworkDraft, phase: Phase, state_per_weight: float
) -> MemoryEstimate:
    trainable = [math.prod(v.shape) for v in draft.model.trainable_variables]
    all_weights = sum(math.prod(v.shape) for v in draft.model.variables)
    half = spec.precision != "float32"
    return MemoryEstimate(
        weights=4 * all_weights,
        half_copies=2 * sum(trainable) if half else 0,
        # Two sets with accumulation: those of a micro-batch, and their sum.
        gradients=4 * sum(trainable) * (1 if spec.accumulate == 1 else 2),
        optimizer=round(4 * state_per_weight * sum(trainable)),
        ema=4 * all_weights if spec.ema_decay else 0,
        activations_per_image=estimate_activations(draft.network).peak_bytes,
        image_bytes=math.prod(outline.splits.image_shape),
        micro_batches=spec.accumulate,
        batch_multiple=spec.accumulate * count_known_replicas(spec),
        graph=round(GRAPH_BYTES + GRAPH_BYTES_PER_VARIABLE * len(trainable)),
        images=count_cached_image_bytes(spec, outline),
        features=count_feature_bytes(spec, outline, draft, phase),
    )


def count_state_per_weight(spec: Spec) -> float:
    """Return how many numbers the optimizer keeps for each weight, 2 for Adam.

    They are counted on a small network, because only a built optimizer tells.
    """
    small = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
    optimizer = spec.optimizer.bound_function(0.1)
    optimizer.build(small.trainable_variables)
    numbers = sum(math.prod(v.shape) for v in optimizer.variables if len(v.shape))
    return numbers / sum(math.prod(v.shape) for v in small.trainable_variables)


def count_cached_image_bytes(spec: Spec, outline: DatasetOutline) -> int:
    """Return the bytes of all images if they are kept in memory, else 0."""
    splits, cache = outline.splits, spec.dataset["cache"]
    size = sum(len(part) for _, part in splits.items()) * math.prod(splits.image_shape)
    not_in_memory = cache in ("disk", "none") or (cache == "auto" and size > SMALL_CACHE)
    return 0 if outline.has_photos and not_in_memory else size


def count_feature_bytes(
    spec: Spec, outline: DatasetOutline, draft: NetworkDraft, phase: Phase
) -> int:
    """Return the bytes of the features of the training and validation images.

    They are 0 unless the outputs of frozen layers are computed once and kept.
    """
    tensor = (
        find_freeze_boundary(draft.model)
        if phase.cache and spec.augmentation.name == "none"
        else None
    )
    if tensor is None:
        return 0
    parts = (outline.splits.train, outline.splits.valid)
    return 4 * sum(len(part) for part in parts if part) * math.prod(tensor.shape[1:])
