"""The results of a benchmark as tables for people."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnntrain.benchmarks.benchmark import Results
from cnntrain.benchmarks.turns import Comparison, summarise_values
from cnntrain.terminal.units import NO_VALUE

RATES = {"cpu": "images/CPU s", "wall": "images/s"}
PACKAGES = ("cnntrain", "tensorflow", "keras", "jax", "torch", "onnxruntime")


def print_results(results: Results, console: Console) -> None:
    """Print the machine, a table for each comparison, and what was left out."""
    console.print(Text(describe_conditions(results)), highlight=False)
    for comparison in (*results.training, *results.inference):
        title = f"\n{comparison.title}: {comparison.conditions}"
        console.print(Text(title, style="bold"), make_rate_table(comparison, results.clock))
        if comparison.epoch_ends:
            console.print(Text(describe_epoch_ends(comparison)), highlight=False)
    if results.startup:
        console.print(Text("\nstart-up", style="bold"), make_startup_table(results))
    for note in results.notes:
        console.print(Text(note), highlight=False)


def describe_conditions(results: Results) -> str:
    """Return the lines that say where, with what and how often was measured."""
    machine = results.machine
    versions = machine["versions"]
    gpus = "".join(f", {gpu}" for gpu in machine["gpus"])
    packages = ", ".join(f"{name} {versions[name]}" for name in PACKAGES if name in versions)
    rounds = "one round" if results.rounds == 1 else f"{results.rounds} rounds, and their ranges"
    return (
        f"{machine['processor']}, {machine['threads']} threads{gpus}\n"
        f"Python {versions['python']}, backend {machine['backend']}\n{packages}\n"
        f"Medians of {rounds}, in turn within one process"
    )


def make_rate_table(comparison: Comparison, clock: str) -> Table:
    """Return a table with a row a way: rates by both clocks, and ours over it by the first."""
    other = "wall" if clock == "cpu" else "cpu"
    table = make_result_table("way")
    for heading in (RATES[clock], "range", RATES[other], f"{comparison.ours} over it"):
        table.add_column(heading, justify="right", no_wrap=True)
    for way in comparison.timings:
        rates, others = (comparison.list_rates(way, name) for name in (clock, other))
        ratios = [] if way == comparison.ours else comparison.list_ratios(way, clock)
        ratio = format_median(ratios, ".2f")
        if ratios:
            ratio += f" ({format_range(ratios, '.2f')})"
        medians = (format_median(rates, ",.0f"), format_median(others, ",.0f"))
        table.add_row(way, medians[0], format_range(rates, ",.0f"), medians[1], ratio)
    return table


def make_startup_table(results: Results) -> Table:
    """Return a table with a row a command: seconds of the processor and of the clock."""
    table = make_result_table("command")
    for heading in ("CPU s", "range", "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, timings in results.startup.items():
        cpu, wall = [timing.cpu for timing in timings], [timing.wall for timing in timings]
        cells = (format_median(cpu, ".2f"), format_range(cpu, ".2f"), format_median(wall, ".2f"))
        table.add_row(name, *cells)
    return table


def make_result_table(first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    return table


def describe_epoch_ends(comparison: Comparison) -> str:
    """Return the line on what the end of an epoch takes."""
    ends = comparison.epoch_ends
    return (
        f"  An epoch's end takes {format_median(ends, '.3f')} s ({format_range(ends, '.3f')}), "
        f"which {comparison.ours} includes."
    )


def format_median(values: list[float], spelling: str) -> str:
    summary = summarise_values(values)
    return NO_VALUE if summary is None else format(summary["median"], spelling)


def format_range(values: list[float], spelling: str) -> str:
    return f"{min(values):{spelling}}–{max(values):{spelling}}"
