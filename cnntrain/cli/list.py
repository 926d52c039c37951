"""`cnntrain list`: options as tables, and the layers of one network as a table."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnntrain.analysis.zoo import about, build, zoo
from cnntrain.cli.parser import arguments
from cnntrain.errors import SpecError, nearest
from cnntrain.spec import option_files
from cnntrain.spec.option_files import REFERENCE, defaults
from cnntrain.terminal.tables import NONE, layer_table, pixels, say, short, terminal


def main(words: Sequence[str]) -> int:
    """`cnntrain list [GROUP]`, `cnntrain list model OPTION [model.KNOB=VALUE ...]`."""
    parser = arguments("list")
    parser.add_argument("group", nargs="?")
    parser.add_argument("option", nargs="?")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_intermixed_args(words)
    if given.help:
        print("usage: cnntrain list [GROUP] [--json] [--config-dir FOLDER]")
        print("       cnntrain list model OPTION [model.KNOB=VALUE ...] [--json]")
        return 0
    list_options(given.group, given.option, given.overrides, given.config_dir, given.json)
    return 0


def list_options(
    group: str | None,
    option: str | None,
    overrides: Sequence[str],
    config_dir: str | None,
    as_json: bool,
) -> None:
    """Print all groups, one group, the zoo (the group `model`) or the layers of one of its options.

    Raises SpecError for what does not exist, and for an option of another group.
    """
    listed = option_files.catalogue(config_dir)
    if group is not None and group not in listed:
        close = nearest(group, listed)
        hint = f"cnntrain list {close}" if close else None
        if group in listed["model"]:
            hint = f"cnntrain list model {group}"
        raise SpecError(f"{group} is not a group", listed, hint)
    if option is not None and group != "model":
        raise SpecError(
            f"{option} follows the group {group}",
            "an option behind the group model only, which lists its layers",
            f"cnntrain list {group}",
        )
    if option is not None:
        layers(option, overrides, config_dir, as_json)
    elif group == "model":
        models(config_dir, as_json)
    else:
        chosen = listed if group is None else {group: listed[group]}
        if as_json:
            print(json.dumps(chosen, indent=2))
            return
        for name, options in chosen.items():
            Console().print(table(name, options))


def models(config_dir: str | None, as_json: bool) -> None:
    """Print the zoo, by families."""
    entries = zoo(config_dir)
    if as_json:
        listed = {known.option: known.as_json() for known in entries}
        print(json.dumps({"model": listed}, indent=2))
        return
    console, default = terminal(), option_files.defaults()["model"]
    names = {
        e.option: f"{e.option} (default)" if e.option == default else e.option for e in entries
    }
    width = max(len(name) for name in names.values()) + 2
    head = line(width, "option", "year", "params", "mult-adds", "input", "what it is")
    say(console, Text(head, style="bold"))
    family: object = ...
    for known in entries:
        if known.family != family:
            family = known.family
            title = Text(f"\n{family or 'of no family'}", style="bold")
            say(console, title.append(f"  {about(known.family)}", style="not bold dim"))
        cells = (known.year, short(known.parameters), short(known.multiply_adds), known.input)
        what = REFERENCE.sub("", known.what)
        say(console, Text(line(width, f"  {names[known.option]}", *cells, what)))
    say(
        console,
        Text(
            "\nParameters, and multiply-adds for one image, of the paper's network at its input;"
            "\ncnntrain list model OPTION shows which overrides that takes, and the layers."
        ),
    )


def line(width: int, name: str, *cells: Any) -> str:
    year, parameters, cost, image, what = (NONE if cell is None else cell for cell in cells)
    return f"{name:<{width}}  {year:>4}  {parameters:>7}  {cost:>9}  {image:<9}  {what}".rstrip()


def layers(option: str, overrides: Sequence[str], config_dir: str | None, as_json: bool) -> None:
    """Print the layers of an option's network, with totals."""
    network = build(option, overrides, config_dir)

    from cnntrain.analysis.layer_table import anatomy, receptive_field, totals

    made = option_files.made_for(option_files.options("model", config_dir)[option])
    words, rows, total = [*made.overrides, *overrides], anatomy(network), totals(network)
    uncounted = [row.layer for row in rows if row.multiply_adds is None]
    if as_json:
        described = {
            "option": option,
            "image_shape": made.image_shape,
            "num_classes": made.num_classes,
            "overrides": words,
            **total,
            "receptive_field": receptive_field(rows),
            "not_counted": uncounted,
            "layers": [asdict(row) for row in rows],
        }
        print(json.dumps(described, indent=2))
        return
    image, fixed = "x".join(map(str, made.image_shape)), total["parameters"] - total["trainable"]
    lines = [
        f"{total['parameters']:,} parameters" + (f", {fixed:,} of them fixed" if fixed else ""),
        f"{total['multiply_adds']:,} multiply-adds of one forward pass for one image",
    ]
    if field := receptive_field(rows):
        lines.append(f"receptive field of {pixels(field)} pixels")
    if uncounted:
        lines.append(f"not counted are the multiply-adds of {', '.join(uncounted)}")
    console = terminal()
    title = f"{image} images, {made.num_classes} classes, {' '.join([f'model={option}', *words])}"
    console.print(Text(title, style="bold"), highlight=False)
    console.print(layer_table(rows))
    console.print(Text("\n".join(lines)), highlight=False)


def table(group: str, listed: dict[str, str]) -> Table:
    """The options of a group as a table; the default is marked."""
    default = defaults().get(group)
    shown = Table(title=group, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    shown.add_column("option", no_wrap=True)
    shown.add_column("what it is")
    for option, text in listed.items():
        shown.add_row(f"{option} (default)" if option == default else option, text)
    return shown
