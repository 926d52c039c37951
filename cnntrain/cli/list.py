"""`cnntrain list`: print the options of groups, or the layers of one network, as tables."""

import json
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnntrain.analysis.zoo import ZooEntry, describe_family, list_applications, list_zoo
from cnntrain.cli.list_layers import print_layers
from cnntrain.cli.parser import make_parser
from cnntrain.errors import SpecError, find_nearest
from cnntrain.spec import option_files
from cnntrain.spec.option_files import read_default_options
from cnntrain.spec.schema.configuration import build_config_schema, build_option_schema
from cnntrain.terminal.tables import NARROW_PIPE_WIDTH, make_console, print_truncated
from cnntrain.terminal.units import NO_VALUE, abbreviate_number

APPLICATIONS = "applications"  # a word beside the groups


def main(words: Sequence[str]) -> int:
    """`cnntrain list [GROUP]` or `cnntrain list model OPTION [...]`; return the exit code 0."""
    parser = make_parser("list")
    parser.add_argument("group", nargs="?")
    parser.add_argument("option", nargs="?")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--schema", action="store_true")
    parser.add_argument("--diagram")
    arguments = parser.parse_intermixed_args(words)
    if arguments.help:
        print("usage: cnntrain list [GROUP|applications] [--json] [--config-dir FOLDER]")
        print("       cnntrain list [GROUP] --schema: for editors, a JSON schema of recipes and")
        print("            spec.yaml, or of the files that are options of a group")
        print("       cnntrain list model OPTION [model.KNOB=VALUE ...] [--json]")
        print("            ['dataset.image_size=[H,W]'] [classes=N], or [dataset=NAME ...]")
        print("            [--diagram FILE.svg]: a picture of its graph, too")
        return 0
    if arguments.diagram is not None and arguments.option is None:
        raise SpecError(
            "--diagram is given and no network is named",
            "cnntrain list model OPTION",
            f"cnntrain list model resnet20_v1 --diagram {arguments.diagram or 'FILE.svg'}",
        )
    if arguments.schema:
        print_schema(arguments)
        return 0
    if arguments.option is not None and arguments.group == "model":
        print_layers(
            arguments.option,
            arguments.overrides,
            arguments.config_dir,
            arguments.json,
            arguments.diagram,
        )
        return 0
    list_options(arguments.group, arguments.option, arguments.config_dir, arguments.json)
    return 0


def print_schema(arguments: Namespace) -> None:
    """Print the JSON schema of recipes, or of the options' files of a group.

    Raises SpecError for an unknown group, and for words that would have no effect.
    """
    group = arguments.group
    if arguments.json:
        raise SpecError("--schema and --json are both given", "one of them; a schema is JSON")
    if arguments.option is not None:
        raise SpecError(
            f"--schema is given for {group} {arguments.option}",
            "a group, whose options have one schema",
            f"cnntrain list {group} --schema",
        )
    if group is not None and group not in option_files.CHOICES:
        nearest = find_nearest(group, option_files.CHOICES)
        hint = f"cnntrain list {nearest} --schema" if nearest else None
        raise SpecError(f"{group} is not a group", option_files.CHOICES, hint)
    if group in (None, "experiment"):
        schema = build_config_schema(arguments.config_dir)
    else:
        schema = build_option_schema(group, arguments.config_dir)
    print(json.dumps(schema, indent=2))


def list_options(
    group: str | None, option: str | None, config_dir: str | None, as_json: bool
) -> None:
    """Print all groups, one group, the zoo (the group `model`), or the `applications`.

    Raises SpecError for an unknown group, and for an `option` behind it.
    """
    listed = option_files.summarise_options(config_dir)
    if group == APPLICATIONS and option is None:
        print_applications(config_dir, as_json)
        return
    if group is not None and group not in listed:
        nearest = find_nearest(group, [*listed, APPLICATIONS])
        hint = f"cnntrain list {nearest}" if nearest else None
        if group in listed["model"]:
            hint = f"cnntrain list model {group}"
        raise SpecError(f"{group} is not a group", [*listed, APPLICATIONS], hint)
    if option is not None:
        raise SpecError(
            f"{option} follows the group {group}",
            "an option behind the group model only, which lists its layers",
            f"cnntrain list {group}",
        )
    if group == "model":
        print_zoo(config_dir, as_json)
    else:
        shown = listed if group is None else {group: listed[group]}
        if as_json:
            print(json.dumps(shown, indent=2))
            return
        for name, options in shown.items():
            Console().print(build_option_table(name, options))


def print_zoo(config_dir: str | None, as_json: bool) -> None:
    """Print the options of the group `model`, by families."""
    entries = list_zoo(config_dir)
    if as_json:
        listed = {entry.option: entry.as_json() for entry in entries}
        print(json.dumps({"model": listed}, indent=2))
        return
    console, default = make_console(), option_files.read_default_options()["model"]
    names = {
        e.option: f"{e.option} (default)" if e.option == default else e.option for e in entries
    }
    width = max(len(name) for name in names.values()) + 2
    head = format_zoo_line(width, "option", "year", "params", "mult-adds", "input", "what it is")
    print_truncated(console, Text(head, style="bold"))
    family: object = ...
    for entry in entries:
        if entry.family != family:
            family = entry.family
            title = Text(f"\n{family or 'of no family'}", style="bold")
            print_truncated(
                console, title.append(f"  {describe_family(entry.family)}", style="not bold dim")
            )
        cells = (
            entry.year,
            abbreviate_number(entry.parameters),
            abbreviate_number(entry.multiply_adds),
            entry.input,
        )
        what = entry.about.remove_citation(entry.what)  # the year has a column
        print_truncated(
            console, Text(format_zoo_line(width, f"  {names[entry.option]}", *cells, what))
        )
    print_truncated(
        console,
        Text(
            "\nParameters, and multiply-adds for one image, of the paper's network at its input;"
            "\ncnntrain list model OPTION shows which overrides that takes, and the layers;"
            "\ncnntrain list applications what Keras publishes of its networks with weights."
        ),
    )


def print_applications(config_dir: str | None, as_json: bool) -> None:
    """Print the networks of `keras.applications`, with what Keras publishes of their weights."""
    entries = list_applications(config_dir)
    if as_json:
        listed = {entry.option: entry.as_json() for entry in entries}
        print(json.dumps({APPLICATIONS: listed}, indent=2))
        return
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("option", no_wrap=True)
    for heading in ("params", "MiB", "depth", "top-1", "top-5", "mult-adds", "input"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in entries:
        cells = format_application_cells(entry)
        table.add_row(entry.option, *(NO_VALUE if cell is None else cell for cell in cells))
    console = make_console(NARROW_PIPE_WIDTH)
    console.print(table)
    notes = (
        "Parameters in float32 with a head for 1,000 classes. Depth, and the percentage of "
        "ImageNet's validation images whose class is the likeliest or among the five likeliest, "
        "as keras.io/api/applications has them.",
        "Their weights: model.weights=imagenet, or cnntrain predict --model OPTION IMAGE.",
    )
    console.print(Text("\n" + "\n".join(notes)), highlight=False)


def format_application_cells(entry: ZooEntry) -> list[str | None]:
    """Return the cells of an application's row behind its name; None for what is not known."""
    about, size = entry.about, entry.megabytes
    shares = [
        None if share is None else f"{100 * share:.1f}" for share in (about.top_1, about.top_5)
    ]
    return [
        abbreviate_number(entry.parameters),
        None if size is None else f"{size:.0f}",
        None if about.depth is None else str(about.depth),
        *shares,
        abbreviate_number(entry.multiply_adds),
        entry.input,
    ]


def format_zoo_line(width: int, name: str, *cells: Any) -> str:
    year, parameters, cost, image, what = (NO_VALUE if cell is None else cell for cell in cells)
    return f"{name:<{width}}  {year:>4}  {parameters:>7}  {cost:>9}  {image:<9}  {what}".rstrip()


def build_option_table(group: str, listed: dict[str, str]) -> Table:
    """Return the options of a group as a table; the default is marked."""
    default = read_default_options().get(group)
    shown = Table(title=group, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    shown.add_column("option", no_wrap=True)
    shown.add_column("what it is")
    for option, text in listed.items():
        shown.add_row(f"{option} (default)" if option == default else option, text)
    return shown
