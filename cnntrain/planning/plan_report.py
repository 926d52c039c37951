"""A plan as people read it, and as JSON."""

from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnntrain.planning.batch_size import left, usable
from cnntrain.planning.benchmark import Measured
from cnntrain.planning.plan import Plan
from cnntrain.planning.step_memory import MIB
from cnntrain.planning.text_chart import chart
from cnntrain.terminal.tables import layer_table, short, terminal

GPUS = (8, 11, 16, 24, 40, 80)  # GiB of memory, as cards have it
MOST = 4  # layers that are named
LABELS = {
    "weights": "weights",
    "half_copies": "their copies in 16 bits",
    "gradients": "gradients",
    "optimizer": "what the optimizer keeps",
    "average": "their average",
    "activations": "activations",
    "batches": "batches on their way",
    "graph": "TensorFlow's graph of a step",
    "dataset": "the data set",
    "tensorflow": "TensorFlow itself",
}


def needs(plan: Plan) -> dict[str, int]:
    """The bytes that a run needs, by what they are for; on a GPU without what the host has."""
    parts = plan.memory.parts(plan.spec.batch_size)
    if plan.room.is_gpu:
        return {kind: size for kind, size in parts.items() if kind not in ("graph", "dataset")}
    return parts | {"tensorflow": plan.base}


def has_room(plan: Plan) -> int:
    """The bytes that a run may have: what is free and, on the host, what this process has."""
    return plan.room.free + (0 if plan.room.is_gpu else plan.base)


def largest(plan: Plan) -> int:
    host = plan.memory.graph + plan.memory.dataset
    return plan.memory.largest(left(plan.room, host))


def on_gpus(plan: Plan) -> dict[int, int]:
    """GiB of a GPU -> the most images in a batch that fit there."""
    return {size: plan.memory.largest(usable(size * 2**30)) for size in GPUS}


def say(plan: Plan, measured: Measured | None, note: str | None, layers: bool) -> None:
    """Print a plan."""
    console = terminal()
    text(console, headline(plan), style="bold")
    if note:
        text(console, note)
    text(console, "\n".join(counts(plan)))
    if layers:
        console.print(layer_table(plan.layers))
    text(console, f"\nlearning rate  {spans(plan)}")
    text(console, chart(plan.rates, plan.total_steps))
    say_memory(console, plan, measured)
    if measured:
        text(console, "\n" + "\n".join(duration(plan, measured)))
    for warning in plan.warnings:
        text(console, f"\nWarning: {warning}")


def text(console: Console, lines: str, style: str = "") -> None:
    console.print(Text(lines, style=style), highlight=False)


def headline(plan: Plan) -> str:
    splits = plan.outline.splits
    shape = "x".join(map(str, splits.image_shape))
    return f"{plan.name}: {len(splits.class_names)} classes of {shape} images"


def counts(plan: Plan) -> list[str]:
    splits, totals = plan.outline.splits, plan.totals
    parts = ", ".join(f"{len(part):,} {name}" for name, part in splits.items())
    fixed = totals["parameters"] - totals["trainable"]
    phases = "" if len(plan.phases) == 1 else f" in phases of {list(plan.phases)} steps"
    epochs = plan.total_steps / plan.steps_per_epoch
    return [
        f"data           {parts} ({plan.outline.known})",
        f"parameters     {totals['parameters']:,}"
        + (f", {fixed:,} of them fixed" if fixed else ""),
        f"multiply-adds  {short(totals['multiply_adds'])} forward for one image; training takes "
        "about three times as many",
        f"steps          {plan.steps_per_epoch:,} an epoch of batch {plan.spec.batch_size}, "
        f"{plan.total_steps:,} in {epochs:g} epochs{phases}",
    ]


def spans(plan: Plan) -> str:
    rates = [rate for _, rate in plan.rates]
    if min(rates) == max(rates):
        return f"{rates[0]:.3g} throughout"
    return f"{rates[0]:.3g} at first, {max(rates):.3g} at most, {rates[-1]:.3g} at the end"


def say_memory(console: Console, plan: Plan, measured: Measured | None) -> None:
    """The parts of the memory, what there is, and what would fit elsewhere."""
    batch = plan.spec.batch_size
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("memory")
    table.add_column("MiB", justify="right")
    table.add_column("")
    parts = needs(plan)
    for kind, size in parts.items():
        table.add_row(LABELS[kind], mib(size), remark(plan, kind))
    table.add_row(
        "in all", mib(sum(parts.values())), f"of {mib(has_room(plan))} ({plan.room.name})"
    )
    console.print(table)
    text(console, heaviest(plan))
    most, fits = largest(plan), sum(parts.values()) <= has_room(plan)
    text(
        console,
        f"batch {batch} {'fits' if fits else 'does not fit'} here; "
        + (f"the largest that does has {most:,} images" if most else "not even one image does"),
    )
    text(console, f"\nOn a GPU it takes {mib(plan.memory.device(batch))} MiB:")
    console.print(gpu_table(plan))


def remark(plan: Plan, kind: str) -> str:
    if kind != "activations":
        return ""
    pieces = f", in {plan.memory.pieces} pieces" if plan.memory.pieces > 1 else ""
    return f"{mib(plan.memory.activations_per_image)} an image{pieces}"


def heaviest(plan: Plan) -> str:
    """The layers whose derivatives keep most."""
    heavy = sorted(plan.keeps.items(), key=lambda item: -item[1])[:MOST]
    named = ", ".join(f"{name} {mib(size)}" for name, size in heavy)
    return f"Most of what an image keeps, in MiB: {named}.\n"


def gpu_table(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    found = on_gpus(plan)
    table.add_column("GPU memory")
    for size in found:
        table.add_column(f"{size} GiB", justify="right")
    batch = plan.spec.batch_size
    table.add_row(f"batch {batch}", *("fits" if most >= batch else "no" for most in found.values()))
    table.add_row("largest batch", *(f"{most:,}" if most else "none" for most in found.values()))
    return table


def duration(plan: Plan, measured: Measured) -> list[str]:
    """How long an epoch and the run take, by the steps that were made."""
    each, batch = measured.seconds, plan.spec.batch_size
    lines = [
        f"measured over {measured.steps} steps: {1000 * each:,.0f} ms a step, "
        f"{batch / each:,.0f} images/s",
        f"an epoch takes about {clock(plan.steps_per_epoch * each)}, the run "
        f"{clock(plan.total_steps * each)}, without validation",
    ]
    if measured.growth is not None and not plan.room.is_gpu:
        expected = plan.memory.growth(batch)
        lines.append(f"the process grew by {mib(measured.growth)} MiB; expected: {mib(expected)}")
    return lines


def clock(seconds: float) -> str:
    """13 s, 4.2 minutes, 1.5 hours, 3.0 days."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= size * 1.5:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def mib(size: float) -> str:
    """1,145 or, of little, 0.06."""
    value = size / MIB
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def as_json(plan: Plan, measured: Measured | None) -> dict[str, Any]:
    """A plan for scripts; sizes in bytes, multiply-adds and kept bytes of one image."""
    splits, batch = plan.outline.splits, plan.spec.batch_size
    parts = needs(plan)
    return {
        "network": plan.name,
        "image_shape": splits.image_shape,
        "num_classes": len(splits.class_names),
        "sizes": {name: len(part) for name, part in splits.items()},
        "data": plan.outline.known,
        **plan.totals,
        "batch_size": batch,
        "steps_per_epoch": plan.steps_per_epoch,
        "total_steps": plan.total_steps,
        "phases": list(plan.phases),
        "learning_rate": [list(point) for point in plan.rates],
        "memory": {
            "parts": parts,
            "total": sum(parts.values()),
            "step": plan.memory.growth(batch),
            "on_gpu": plan.memory.device(batch),
            "activations_per_image": plan.memory.activations_per_image,
            "room": asdict(plan.room) | {"for_the_run": has_room(plan)},
            "fits": sum(parts.values()) <= has_room(plan),
            "largest_batch": largest(plan),
            "largest_batch_on_gpu": {f"{size} GiB": most for size, most in on_gpus(plan).items()},
        },
        "measured": asdict(measured) if measured else None,
        "warnings": list(plan.warnings),
        "layers": [
            asdict(row) | {"kept_bytes": plan.keeps.get(row.layer, 0)} for row in plan.layers
        ],
    }
