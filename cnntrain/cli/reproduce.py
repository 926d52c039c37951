"""`cnntrain reproduce`: train a recipe and say whether this machine gets what we got."""

import contextlib
import json
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnntrain.cli.parser import make_parser
from cnntrain.errors import SpecError
from cnntrain.files.documents import replace_nonfinite, write_json
from cnntrain.recipes.catalogue import Recipe, find_recipe, list_recipes
from cnntrain.recipes.page import build_number_rows
from cnntrain.recipes.reproduce import (
    Interrupted,
    Request,
    find_recipe_of_folder,
    judge_folder,
    make_folder_name,
    reproduce_recipe,
)
from cnntrain.recipes.verdict import EXIT_CODES, Verdict
from cnntrain.spec.expectation import compute_interval
from cnntrain.terminal.tables import make_console
from cnntrain.terminal.units import NO_VALUE, format_percent

USAGE = """\
usage: cnntrain reproduce RECIPE [key=value ...] [--seeds N] [--minutes M] [--json]
         train a recipe, and compare with what was published and with what we measured;
         after M minutes it stops, and what it has cannot be compared
       cnntrain reproduce --from FOLDER
         compare again, without training, after cnntrain resume FOLDER, say
       cnntrain reproduce --all --minutes M [--seeds N]
         as many recipes as fit, the shortest first
       cnntrain reproduce --list [--json]
         recipe, source, published, ours, and how long a seed takes here
exit codes: 0 agrees, 1 differs, 3 cannot be compared; of --all: 1 if one differs, else 0 if one
agrees, else 3"""
# Columns of --list: heading -> width.
NUMBER_WIDTHS = {"published": 9, "ours, 99 %": 15, "of": 5, "time": 8}
MIN_SOURCE_WIDTH = 10  # a narrower column is left out


def main(words: Sequence[str]) -> int:
    """`cnntrain reproduce …`: return 0 if the runs agree, 1 if they differ, 3 if neither."""
    parser = make_parser("reproduce")
    parser.add_argument("words", nargs="*")
    for flag in ("--seeds", "--minutes", "--from"):
        parser.add_argument(flag)
    for flag in ("--list", "--all", "--json"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print(USAGE)
        return 0
    names = [word for word in arguments.words if "=" not in word]
    overrides = tuple(word for word in arguments.words if "=" in word)
    request = Request(
        parse_seeds(arguments.seeds), parse_minutes(arguments.minutes), overrides,
        arguments.config_dir,
    )  # fmt: skip
    check_contradictions(arguments, names)
    if arguments.list:
        print_recipes(list_recipes(arguments.config_dir), arguments.json)
        return 0
    if arguments.all:
        if request.minutes is None:
            raise SpecError(
                "--all has no end", "the minutes to spend", "cnntrain reproduce --all --minutes 60"
            )
        return reproduce_all(request, arguments.json)
    place = getattr(arguments, "from")
    if place is not None and not names:
        names = [find_recipe_of_folder(Path(place))]
    if len(names) != 1:
        given = f"{len(names)} recipes are named" if names else "no recipe is named"
        raise SpecError(given, "one recipe, or --all", "cnntrain reproduce --list")
    recipe = find_recipe(names[0], arguments.config_dir)
    if place is not None:
        folder = Path(place)
        return show_verdict(judge_folder(recipe, folder), folder, arguments.json)
    folder = make_folder_name(recipe.name)
    try:
        with print_elsewhere(arguments.json):
            verdict = reproduce_recipe(recipe, request, folder)
    except Interrupted as stopped:
        print(f"Then: {format_judge_command(folder)}", file=sys.stderr)
        return stopped.code
    return show_verdict(verdict, folder, arguments.json)


def check_contradictions(arguments: Namespace, names: Sequence[str]) -> None:
    """Raise SpecError for words and flags of which one would have no effect."""
    given = {f"--{flag}": getattr(arguments, flag) for flag in ("list", "all", "from")}
    given |= {f"--{flag}": getattr(arguments, flag) for flag in ("seeds", "minutes")}
    without = {
        "--list": ("--all", "--from", "--seeds", "--minutes", *arguments.words),
        "--all": ("--from", *names),
        "--from": ("--seeds", "--minutes", *(w for w in arguments.words if w not in names)),
    }
    for flag, others in without.items():
        for other in others if given[flag] else ():
            if given.get(other, True):
                raise SpecError(f"{flag} and {other} are both given", "one of them")


def format_judge_command(folder: Path) -> str:
    return shlex.join(["cnntrain", "reproduce", "--from", str(folder)])


def parse_seeds(text: str | None) -> int:
    """Return the number of seeds, 1 by default; raise SpecError unless it is from 1 to 1,000."""
    if text is None:
        return 1
    if not (text.isdecimal() and 1 <= int(text) <= 1000):
        raise SpecError(f"--seeds is {text}", "how many, from 1 to 1000", "--seeds 3")
    return int(text)


def parse_minutes(text: str | None) -> float | None:
    """Return a number of minutes, or None; raise SpecError unless it is above 0."""
    if text is None:
        return None
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < 1e5:
        raise SpecError(f"--minutes is {text}", "a number above 0", "--minutes 60")
    return minutes


@contextlib.contextmanager
def print_elsewhere(is_json: bool) -> Iterator[None]:
    """With --json, let the training print on standard error, so that the output is JSON alone."""
    if not is_json:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def show_verdict(verdict: Verdict, folder: Path, as_json: bool) -> int:
    """Print a verdict, and return its exit code."""
    if as_json:
        print(json.dumps(replace_nonfinite(verdict.to_json()), indent=2))
        return verdict.exit_code
    console = make_console()
    console.print(Text(f"\n{verdict.recipe.summary}"), highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value, origin in build_number_rows(verdict):
        table.add_row(name, value, origin)
    console.print(table)
    color = {"agrees": "green", "differs": "red"}.get(verdict.kind, "yellow")
    console.print(Text(f"{verdict.recipe.name} {verdict.kind}.", style=f"bold {color}"))
    for reason in verdict.reasons:
        console.print(Text(reason), highlight=False)
    if any(run.result.status != "finished" for run in verdict.runs):
        go_on = f"{format_judge_command(folder)} compares again, once the runs have finished."
        console.print(Text(go_on), highlight=False, soft_wrap=True)
    console.print(Text(str(folder / "reproduce.html")), highlight=False, soft_wrap=True)
    return verdict.exit_code


def print_recipes(recipes: Sequence[Recipe], as_json: bool) -> None:
    """Print what each recipe was published with, what we measured, and how long it takes here."""
    if as_json:
        print(json.dumps([describe_recipe(recipe) for recipe in recipes], indent=2))
        return
    console = make_console()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    names = max((len(recipe.name) for recipe in recipes), default=1)
    room = console.width - names - sum(NUMBER_WIDTHS.values()) - 14  # of borders
    table.add_column("recipe", no_wrap=True)
    if room >= MIN_SOURCE_WIDTH:
        table.add_column("source", overflow="ellipsis", no_wrap=True, max_width=room)
    for heading in NUMBER_WIDTHS:
        table.add_column(heading, justify="right", no_wrap=True)
    for recipe in recipes:
        source = [recipe.expected.source] if room >= MIN_SOURCE_WIDTH else []
        table.add_row(recipe.name, *source, *format_recipe_numbers(recipe))
    console.print(table)
    measured = sum(recipe.expected.measured is not None for recipe in recipes)
    console.print(
        f"{len(recipes)} recipes, {measured} of them measured. Ours is the mean of seeds, ± what a "
        "new run may differ by. The time is that of one seed on one core, on two at best half of "
        "it; of what nobody has measured yet, it is an estimate for two cores.",
        highlight=False,
    )


def format_recipe_numbers(recipe: Recipe) -> tuple[str, str, str, str]:
    """Return the cells published, ours, split and time of a recipe."""
    expected = recipe.expected
    split, value = expected.metric.partition("_")[0], expected.published_value
    published = NO_VALUE if value is None else format_percent(value)
    if value is None and expected.published_note:
        published = "a note"
    if (measured := expected.measured) is None:
        return published, "unmeasured", split, format_time(60 * (expected.hours or 0))
    interval = compute_interval(measured, expected.metric)
    half = 100 * max(interval.high - interval.mean, interval.mean - interval.low)
    ours = f"{100 * interval.mean:.2f} ± {half:.2f} %"
    return published, ours, split, format_time(recipe.minutes or 0)


def format_time(minutes: float) -> str:
    """Return minutes as `0.3 min` or `4.5 h`."""
    return f"{minutes:.1f} min" if minutes < 90 else f"{minutes / 60:,.3g} h"


def describe_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values, for `--list --json`."""
    expected = recipe.expected
    interval = compute_interval(expected.measured, expected.metric) if expected.measured else None
    return {
        "recipe": recipe.name,
        "what": recipe.summary,
        "command": recipe.command,
        "settings": expected.settings,
        "source": expected.source,
        "published": dict(expected.published or {}),
        "published_note": expected.published_note,
        "metric": expected.metric,
        "metric_name": recipe.metric_name,
        "mean": interval.mean if interval else None,
        "interval": [interval.low, interval.high] if interval else None,
        "interval_reason": interval.reason if interval else None,
        "measured": None if expected.measured is None else vars(expected.measured),
        "minutes": recipe.minutes,
        "hours": expected.hours,
    }


def reproduce_all(request: Request, as_json: bool) -> int:
    """Reproduce the measured recipes that fit into the minutes, the shortest first.

    Returns 1 if one differs, else 0 if one agrees, else 3; after a signal its code. A recipe whose
    data or weights are not here is left out, with the reason.
    """
    recipes = [recipe for recipe in list_recipes(request.config_dir) if recipe.minutes is not None]
    for recipe in recipes:
        request.check_overrides(recipe)
    minutes = {r.name: estimate_minutes(r, request) for r in recipes}
    folder, end = make_folder_name("all"), time.monotonic() + 60 * (request.minutes or 0)
    verdicts, left_out, code = list[Verdict](), dict[str, str](), None
    for recipe in sorted(recipes, key=lambda recipe: minutes[recipe.name]):
        remaining = (end - time.monotonic()) / 60
        if minutes[recipe.name] > remaining:
            left_out[recipe.name] = f"it takes about {format_time(minutes[recipe.name])}"
            continue
        part = replace(request, minutes=remaining)
        try:
            with print_elsewhere(as_json):
                print(f"\n{recipe.name}: {recipe.summary}")
                verdicts.append(reproduce_recipe(recipe, part, folder / recipe.name))
        except SpecError as error:
            left_out[recipe.name] = error.given
        except Interrupted as stopped:
            code = stopped.code
            break
    if folder.is_dir():
        results = {"recipes": [v.to_json() for v in verdicts], "left_out": left_out}
        write_json(folder / "reproduce.json", results)
    show_all(verdicts, left_out, as_json, make_console())
    if code is not None:
        return code
    kinds = {verdict.kind for verdict in verdicts}
    return next((EXIT_CODES[kind] for kind in ("differs", "agrees") if kind in kinds), 3)


def estimate_minutes(recipe: Recipe, request: Request) -> float:
    """Return the minutes that all seeds of a recipe take, with the recipes that it needs."""
    needed = [find_recipe(n, request.config_dir) for n in (recipe.expected.needs or {}).values()]
    return request.seeds * sum(one.minutes or 0 for one in (recipe, *needed))


def show_all(
    verdicts: Sequence[Verdict], left_out: dict[str, str], as_json: bool, console: Console
) -> None:
    """Print a row for each recipe that was reproduced, and a line for each that was left out."""
    if as_json:
        rows = [verdict.to_json() for verdict in verdicts]
        print(json.dumps(replace_nonfinite({"recipes": rows, "left_out": left_out}), indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("recipe", "verdict", "here", "published", "ours", "of"):
        table.add_column(heading, no_wrap=True)
    for verdict in verdicts:
        here = NO_VALUE if verdict.mean is None else format_percent(verdict.mean)
        numbers = format_recipe_numbers(verdict.recipe)[:3]
        table.add_row(verdict.recipe.name, verdict.kind, here, *numbers)
    if verdicts:
        console.print(table)
    for name, reason in left_out.items():
        console.print(Text(f"{name} was left out: {reason}"), highlight=False, soft_wrap=True)
