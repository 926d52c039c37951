"""Print a plan for people, or return it as JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnntrain.data.image_sizes import compute_pixel_share, describe_image_sizes
from cnntrain.data.labels import describe_balanced_sampling
from cnntrain.planning.batch_size import compute_memory_for_step, compute_usable_memory
from cnntrain.planning.benchmark import StepMeasurement
from cnntrain.planning.input_rate import InputRate, format_input_rate
from cnntrain.planning.plan import Plan
from cnntrain.planning.text_chart import draw_text_chart
from cnntrain.terminal.tables import NARROW_PIPE_WIDTH, make_console, make_layer_table
from cnntrain.terminal.units import abbreviate_number, format_duration, format_mib

GPU_SIZES = (8, 11, 16, 24, 40, 80)  # GiB of memory of common cards
MAX_NAMED_LAYERS = 4
PART_LABELS = {
    "weights": "weights",
    "half_copies": "16-bit copies of the weights",
    "gradients": "gradients",
    "optimizer": "optimizer state",
    "average": "EMA of the weights",
    "activations": "activations",
    "batches": "batches in the input pipeline",
    "graph": "TensorFlow's graph of a step",
    "dataset": "the data set",
    "tensorflow": "TensorFlow itself",
}


def list_memory_parts(plan: Plan) -> dict[str, int]:
    """Return the bytes that a run needs by what they are for; for a GPU, only those on the GPU."""
    parts = plan.memory.list_parts(plan.spec.batch_size)
    if plan.device_memory.is_gpu:
        return {kind: size for kind, size in parts.items() if kind not in ("graph", "dataset")}
    return parts | {"tensorflow": plan.process_bytes}


def count_available_bytes(plan: Plan) -> int:
    """Return the bytes that a run may take: what is free and, on a CPU, what this process has."""
    return plan.device_memory.free + (0 if plan.device_memory.is_gpu else plan.process_bytes)


def fits_machine(plan: Plan) -> bool:
    """Return whether the run's batch fits into the memory that it may take here."""
    return sum(list_memory_parts(plan).values()) <= count_available_bytes(plan)


def find_largest_batch_here(plan: Plan) -> int:
    """Return the largest batch size that fits on this machine, or 0."""
    free = compute_memory_for_step(plan.device_memory, plan.memory.host_bytes)
    return plan.memory.find_largest_batch(free)


def find_largest_batch_by_gpu(plan: Plan) -> dict[int, int]:
    """Return the largest batch size that fits on a GPU, or 0, by the GiB of its memory."""
    return {
        size: plan.memory.find_largest_batch(compute_usable_memory(size * 2**30))
        for size in GPU_SIZES
    }


def print_plan(
    plan: Plan,
    measured: StepMeasurement | None,
    photos: InputRate | None,
    notes: Sequence[str],
    layers: bool,
) -> None:
    """Print a plan, with the layers, the measured steps and photos if wanted, and its warnings."""
    console = make_console()
    print_text(console, format_plan_headline(plan), style="bold")
    for note in notes:
        print_text(console, note)
    print_text(console, "\n".join(format_plan_counts(plan)))
    if layers:
        width = console.width if console.is_terminal else NARROW_PIPE_WIDTH
        console.print(make_layer_table(plan.layers, width), width=width)
    print_text(console, f"\nlearning rate  {format_learning_rate_range(plan)}")
    print_text(console, draw_text_chart(plan.learning_rates, plan.total_steps))
    print_memory(console, plan)
    if measured:
        lines = format_measured_times(plan, measured)
        if photos:
            lines += format_input_rate(photos, plan.spec.batch_size / measured.seconds)
        print_text(console, "\n" + "\n".join(lines))
    for warning in plan.warnings:
        print_text(console, f"\nWarning: {warning}")


def print_text(console: Console, lines: str, style: str = "") -> None:
    console.print(Text(lines, style=style), highlight=False)


def format_plan_headline(plan: Plan) -> str:
    splits = plan.outline.splits
    shape = "x".join(map(str, splits.image_shape))
    return f"{plan.network_name}: {len(splits.class_names)} classes of {shape} images"


def format_plan_counts(plan: Plan) -> list[str]:
    splits, totals = plan.outline.splits, plan.totals
    parts = ", ".join(f"{len(part):,} {name}" for name, part in splits.items())
    non_trainable = totals["parameters"] - totals["trainable"]
    phases = "" if len(plan.phase_steps) == 1 else f" in phases of {list(plan.phase_steps)} steps"
    epochs = plan.total_steps / plan.steps_per_epoch
    sizes = describe_image_sizes(plan.image_sizes)
    return [
        f"data           {parts} ({plan.outline.provenance})",
        *(f"               {note}" for note in list_split_notes(plan)),
        f"parameters     {totals['parameters']:,}"
        + (f", {non_trainable:,} of them not trainable" if non_trainable else ""),
        f"multiply-adds  {abbreviate_number(totals['multiply_adds'])} forward for one image; "
        "training takes "
        "about three times as many",
        f"steps          {plan.steps_per_epoch:,} an epoch of batch {plan.spec.batch_size}, "
        f"{plan.total_steps:,} in {epochs:g} epochs{phases}",
        *([] if sizes is None else [f"images         {sizes}"]),
    ]


def list_split_notes(plan: Plan) -> list[str]:
    """Return what a plan says of folds and groups, and of sampling that is balanced."""
    notes, train = [*plan.outline.split_notes], plan.outline.splits.train
    if plan.spec.dataset["sampling"] == "balanced":
        names = plan.outline.splits.class_names
        counts = np.bincount(train.labels, minlength=len(names)).tolist()
        drawn = plan.steps_per_epoch * plan.spec.batch_size
        notes.append(describe_balanced_sampling(counts, names, drawn))
    return notes


def format_learning_rate_range(plan: Plan) -> str:
    rates, optimizer = [rate for _, rate in plan.learning_rates], plan.spec.optimizer
    bias_rate = optimizer["bias_rate"] * optimizer.knobs.get("sgd_factor", 1)  # that of Muon
    biases = "" if bias_rate == 1 else f"; {bias_rate:g} times that for biases"
    if min(rates) == max(rates):
        return f"{rates[0]:.3g} throughout{biases}"
    return f"{rates[0]:.3g} at first, {max(rates):.3g} at most, {rates[-1]:.3g} at the end{biases}"


def print_memory(console: Console, plan: Plan) -> None:
    """Print what the memory is needed for, whether the batch fits here, and on which GPUs."""
    batch = plan.spec.batch_size
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("memory")
    table.add_column("MiB", justify="right")
    table.add_column("")
    parts = list_memory_parts(plan)
    for kind, size in parts.items():
        table.add_row(PART_LABELS[kind], format_mib(size), format_memory_remark(plan, kind))
    table.add_row(
        "in all",
        format_mib(sum(parts.values())),
        f"of {format_mib(count_available_bytes(plan))} ({plan.device_memory.name})",
    )
    console.print(table)
    print_text(console, format_heaviest_layers(plan))
    most, fits = find_largest_batch_here(plan), fits_machine(plan)
    print_text(
        console,
        f"batch {batch} {'fits' if fits else 'does not fit'} here; "
        + (f"the largest that does has {most:,} images" if most else "no batch does"),
    )
    print_text(
        console, f"\nOn a GPU it takes {format_mib(plan.memory.compute_device_bytes(batch))} MiB:"
    )
    console.print(build_gpu_table(plan))


def format_memory_remark(plan: Plan, kind: str) -> str:
    if kind != "activations":
        return ""
    count = plan.memory.micro_batches
    cut = f", in {count} micro-batches" if count > 1 else ""
    return f"{format_mib(plan.memory.activations_per_image)} an image{cut}"


def format_heaviest_layers(plan: Plan) -> str:
    """Return the line that names the layers that keep most for the backward pass."""
    heavy = sorted(plan.kept_bytes_by_layer.items(), key=lambda item: -item[1])[:MAX_NAMED_LAYERS]
    named = ", ".join(f"{name} {format_mib(size)}" for name, size in heavy)
    return f"Kept most for the backward pass, in MiB an image: {named}.\n"


def build_gpu_table(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    batches = find_largest_batch_by_gpu(plan)
    table.add_column("GPU memory")
    for size in batches:
        table.add_column(f"{size} GiB", justify="right")
    batch = plan.spec.batch_size
    table.add_row(f"batch {batch}", *("fits" if n >= batch else "no" for n in batches.values()))
    table.add_row("largest batch", *(f"{n:,}" if n else "none" for n in batches.values()))
    return table


def format_measured_times(plan: Plan, measured: StepMeasurement) -> list[str]:
    """Return the lines that say how long an epoch and the run take, from the measured steps."""
    each, batch = measured.seconds, plan.spec.batch_size
    share = compute_pixel_share(
        plan.image_sizes, math.ceil(plan.total_steps / plan.steps_per_epoch)
    )
    by_pixels = " (smaller images counted by their pixels)" if share < 1 else ""
    lines = [
        f"measured over {measured.steps} steps: {1000 * each:,.0f} ms a step, "
        f"{batch / each:,.0f} images/s",
        f"an image: {1000 * measured.forward:.3f} ms forward, {1000 * measured.training:.3f} ms "
        "forward, backward and update"
        + (" (above features that are computed once)" if measured.features_once else ""),
        f"an epoch takes about {format_duration(plan.steps_per_epoch * each)}, the run "
        f"{format_duration(plan.total_steps * each * share)}{by_pixels}, without validation",
    ]
    if measured.growth is not None and not plan.device_memory.is_gpu:
        expected = plan.memory.compute_process_growth(batch)
        lines.append(
            f"the process grew by {format_mib(measured.growth)} MiB; expected: "
            f"{format_mib(expected)}"
        )
    return lines


def build_plan_json(plan: Plan, measured: StepMeasurement | None) -> dict[str, Any]:
    """Return a plan as JSON: sizes in bytes; multiply-adds and kept bytes of one image."""
    splits, batch = plan.outline.splits, plan.spec.batch_size
    parts = list_memory_parts(plan)
    return {
        "network": plan.network_name,
        "image_shape": splits.image_shape,
        "num_classes": len(splits.class_names),
        "sizes": {name: len(part) for name, part in splits.items()},
        "data": plan.outline.provenance,
        "notes": list_split_notes(plan),
        **plan.totals,
        "batch_size": batch,
        "steps_per_epoch": plan.steps_per_epoch,
        "total_steps": plan.total_steps,
        "phases": list(plan.phase_steps),
        "image_sizes": [asdict(span) for span in plan.image_sizes],
        "learning_rate": [list(point) for point in plan.learning_rates],
        "memory": {
            "parts": parts,
            "total": sum(parts.values()),
            "step": plan.memory.compute_process_growth(batch),
            "on_gpu": plan.memory.compute_device_bytes(batch),
            "activations_per_image": plan.memory.activations_per_image,
            "room": asdict(plan.device_memory) | {"for_the_run": count_available_bytes(plan)},
            "fits": fits_machine(plan),
            "largest_batch": find_largest_batch_here(plan),
            "largest_batch_on_gpu": {
                f"{size} GiB": most for size, most in find_largest_batch_by_gpu(plan).items()
            },
        },
        "measured": asdict(measured) if measured else None,
        "warnings": list(plan.warnings),
        "layers": [
            asdict(row) | {"kept_bytes": plan.kept_bytes_by_layer.get(row.layer, 0)}
            for row in plan.layers
        ],
    }
