"""Plan a run: count its costs from its spec, without training and without preparing data."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import psutil

from cnntrain.analysis.graph import LayerRow
from cnntrain.analysis.kept_activations import estimate_activations
from cnntrain.analysis.layer_table import count_totals, describe_layers, drop_auxiliary_heads
from cnntrain.data.device_memory import DeviceMemory
from cnntrain.data.image_sizes import SizeSpan, plan_image_sizes
from cnntrain.data.steps import plan_steps, shrink_batch_size
from cnntrain.planning.batch_size import get_device_memory
from cnntrain.planning.dataset_outline import DatasetOutline, outline_dataset
from cnntrain.planning.step_memory import (
    MemoryEstimate,
    NetworkDraft,
    draft_network,
    estimate_memory,
)
from cnntrain.planning.warnings import collect_warnings
from cnntrain.spec.contradictions import check_label_kind, count_known_replicas
from cnntrain.spec.spec import Spec
from cnntrain.training.networks.smaller_images import allow_smaller_images
from cnntrain.training.phases import build_rate, count_phase_steps

CURVE_POINTS = 240  # points of the learning-rate curve, all phases together


@dataclass(frozen=True)
class Plan:
    """What is known of a run before it begins. Sizes are in bytes, durations in steps."""

    spec: Spec
    network_name: str
    outline: DatasetOutline
    totals: dict[str, int]  # `count_totals` of the network
    layers: Sequence[LayerRow]
    kept_bytes_by_layer: dict[str, int]  # of one image, kept for the backward pass
    memory: MemoryEstimate
    device_memory: DeviceMemory
    process_bytes: int  # memory of this process, with TensorFlow loaded
    steps_per_epoch: int
    total_steps: int
    phase_steps: Sequence[int]  # the steps of each phase
    image_sizes: Sequence[SizeSpan]
    learning_rates: Sequence[tuple[int, float]]  # (step, learning rate)
    warnings: Sequence[str]


def plan_run(spec: Spec, config_dir: str | None) -> Plan:
    """Return the plan of a run.

    Raises SpecError if the data set is unknown, if the model, `finetune` or `schedule` refuses its
    settings, or if there are fewer training images than a batch has parts. A run may refuse more:
    the file of a warm start, normalisation, class weights.
    """
    process_bytes = psutil.Process(os.getpid()).memory_info().rss
    outline = outline_dataset(spec, config_dir)
    check_label_kind(spec, outline.splits.has_several_labels)
    spec, note = shrink_batch_size(spec, len(outline.splits.train), count_known_replicas(spec))
    steps_per_epoch, total_steps = plan_steps(spec, outline.splits.train)
    sizes = plan_image_sizes(spec, outline.splits.train, steps_per_epoch, total_steps)
    draft = draft_network(spec, outline)
    allow_smaller_images(draft.network, draft.model, sizes, spec.batch_size)
    lengths = count_phase_steps(draft.phases, steps_per_epoch, total_steps)
    rates = sample_learning_rates(spec, draft, lengths, steps_per_epoch)
    memory = estimate_memory(spec, outline, draft)
    model = draft.model
    rows = describe_layers(drop_auxiliary_heads(model))
    kept = remove_body_prefix(estimate_activations(draft.network).bytes_by_layer, model.name)
    device_memory = get_device_memory()
    warnings = [note] if note is not None else []
    warnings += collect_warnings(spec, outline, draft, total_steps, memory, device_memory)
    return Plan(
        spec, model.name, outline, count_totals(model), rows, kept, memory, device_memory,
        process_bytes, steps_per_epoch, total_steps, lengths, sizes, rates, warnings,
    )  # fmt: skip


def remove_body_prefix(sizes: dict[str, int], model: str) -> dict[str, int]:
    """Return the sizes by the names of the model's own layers, as the other tables have them."""
    return {name.removeprefix(f"{model}/"): size for name, size in sizes.items()}


def sample_learning_rates(
    spec: Spec, draft: NetworkDraft, lengths: Sequence[int], steps_per_epoch: int
) -> list[tuple[int, float]]:
    """Return points (step, learning rate) through all phases, of `lengths` steps each."""
    points, began = list[tuple[int, float]](), 0
    for phase, length in zip(draft.phases, lengths, strict=True):
        if not length:
            continue
        rate = build_rate(spec, phase, steps_per_epoch, length)
        count = max(2, round(CURVE_POINTS * length / sum(lengths)))
        steps = np.unique(np.linspace(0, length - 1, count).astype(np.int32))
        values = keras.ops.convert_to_numpy(rate(keras.ops.convert_to_tensor(steps)))
        values = np.broadcast_to(values, steps.shape)
        points += [(began + int(s), float(v)) for s, v in zip(steps, values, strict=True)]
        began += length
    return points
