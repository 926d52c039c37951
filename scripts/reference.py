"""Write docs/reference/ from the options, their signatures and the help texts: `make reference`.

Pages that are not in `write_pages`, such as that of the run directory, are written by hand.
"""

import ast
import contextlib
import io
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from cnntrain.cli.main import VERBS, format_help_text, run_verb
from cnntrain.spec.about import DatasetAbout, convert_about
from cnntrain.spec.build import MAY_BE_AUTO
from cnntrain.spec.knobs import Record, describe_annotation, format_value
from cnntrain.spec.option_files import CONF, find_option_files, read_default_options, read_summary
from cnntrain.spec.ranges import LARGEST_INTEGER
from cnntrain.spec.schema.options import Commented, read_commented_config, read_commented_file
from cnntrain.spec.signatures import (
    GROUPS,
    find_functions,
    list_components,
    locate_component,
    parse_source,
    path_of_group,
    read_component_knobs,
    read_shared_knobs,
)
from cnntrain.spec.spec import SETTINGS
from cnntrain.terminal.units import format_size

DOCS = Path(__file__).parent.parent / "docs" / "reference"
WRITTEN = "<!-- Written by `make reference`; what is written here by hand is lost. -->\n"
KINDS = {  # what the options of a group are, and the page that says how to use them
    "model": "Networks. [Networks](../models.md) has what each costs.",
    "dataset": "Data sets. [Your photos, public sets](../data.md) says how they come here.",
    "augmentation": "Random changes of training images. [Augment](../augmentation.md) shows them.",
    "optimizer": "What turns gradients into updates of the weights.",
    "schedule": "The learning rate over the run, as a factor of `optimizer.learning_rate`.",
    "initializer": "What kernels hold before the first step. "
    "[How networks begin](../initializers.md) shows what they do.",
    "finetune": "Which layers of a network with weights train, and when. "
    "[Fine-tuning](../finetuning.md) has examples.",
    "distribution": "The devices of a run. [Several devices](../distribution.md) has examples.",
    "tracking": "Where else a run is logged. [Tracking](../tracking.md) has examples.",
}
WHOLE = f"A whole number is at most {LARGEST_INTEGER}."
SETTINGS_INTRODUCTION = f"""\
# Settings of the run

{WRITTEN}
They stand alone on the command line: `cnntrain epochs=30 loss.label_smoothing=0.1`. Their defaults
and what is said of them are those of `conf/config.yaml`. {WHOLE}
"""
SWEEP_INTRODUCTION = f"""\
# Settings of a sweep

{WRITTEN}
`cnntrain -m` takes them. They are no part of the spec of a run. [Sweeps](../sweeps.md) has
examples.
"""
COMMANDS_INTRODUCTION = f"""\
# Commands

{WRITTEN}
These are the texts of `--help`. [How a command ends](exit_codes.md) has the exit codes.
"""


def main() -> None:
    DOCS.mkdir(exist_ok=True)
    for name, text in write_pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(DOCS / name)


def write_pages() -> dict[str, str]:
    """Return the pages of docs/reference/ that are written from the code, by file name."""
    return {
        "commands.md": write_commands(),
        "settings.md": write_settings(),
        "sweep.md": write_sweep(),
        **{f"{group}.md": write_group(group) for group in GROUPS},
    }


def write_commands() -> str:
    """Return the page of verbs: what each says of itself."""
    text = format_help_text(None)
    usage = text[text.index("usage:") : text.index("Every run is")]
    flags = text[text.index("flags:") :]
    parts = [COMMANDS_INTRODUCTION, "## cnntrain\n", quote(usage), quote(flags)]
    for verb in VERBS:
        if verb != "train":  # what the words without a verb do
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                run_verb([verb, "--help"])
            parts += [f"## {verb}\n", quote(printed.getvalue())]
    return "\n".join(parts)


def quote(text: str) -> str:
    return f"```\n{text.strip()}\n```\n"


def write_settings() -> str:
    """Return the page of the settings of the run."""
    config = read_commented_config()
    rows = list_knobs(SETTINGS, config, "", MAY_BE_AUTO)
    return f"{SETTINGS_INTRODUCTION}\n{write_knobs('default', rows, 'setting')}"


def write_sweep() -> str:
    """Return the page of what decides where and how the jobs of a sweep run."""
    config = read_commented_config()
    parts = [SWEEP_INTRODUCTION, write_values(config.select("sweep"), "sweep.")]
    for kind, title in (("launcher", "Where jobs run"), ("sweeper", "Which jobs run")):
        parts.append(f"## {title}: hydra/{kind}\n")
        for file in sorted((CONF / "hydra" / kind).glob("*.yaml")):
            option = read_commented_file(file)
            if len(option.values) > 1:
                parts.append(write_values(option, f"hydra.{kind}."))
    return "\n".join(parts)


def write_values(option: Commented, prefix: str) -> str:
    """Return a table of values with the comments behind them."""
    rows = [
        (code(prefix + key), code(format_knob(value)), escape(option.comments.get(key, "")))
        for key, value in option.values.items()
        if key != "name"
    ]
    return write_table(("setting", "default", "what it does"), rows)


def write_group(group: str) -> str:
    """Return the page of a group: its options, the knobs that all have, and those of each."""
    options = {name: read_commented_file(f) for name, f in find_option_files(group).items()}
    default = read_default_options()[group]
    first = (
        f"`cnntrain {group}={default}` chooses the default, and `{group}.KNOB=VALUE` sets a knob."
    )
    parts = [f"# {group}\n\n{WRITTEN}\n{KINDS[group]}\n{first} {WHOLE}\n", write_options(group)]
    if shared := read_shared_knobs(group):
        common = read_commented_config().select(group)
        rows = list_knobs(shared, common, f"{group}.")
        parts += ["## Knobs of all options\n", write_knobs("default", rows)]
    for component in list_components(group):
        chosen = {n: o for n, o in options.items() if o.values.get("name") == component}
        if chosen:
            parts.append(write_component(group, component, chosen))
    return "\n".join(parts)


def write_options(group: str) -> str:
    """Return the table of the options of a group."""
    rows: list[Sequence[str]] = []
    for name, file in find_option_files(group).items():
        option = read_commented_file(file)
        link = f"[`{name}`](#{option.values['name']})"
        facts = [describe_data(option, file)] if group == "dataset" else []
        rows.append((link, escape(read_summary(file)), *facts))
    heads = ["option", "what it is", *(["to download"] if group == "dataset" else [])]
    return f"## Options\n\n{write_table(heads, rows)}"


def describe_data(option: Commented, file: Path) -> str:
    """Return the size of what is downloaded, and the archives that may lie in manual_dir."""
    about = convert_about(option.values.get("about"), DatasetAbout, file)
    size = [format_size(about.bytes)] if about.bytes else []
    archives = [code(name) for name in about.archives or ()]
    return ": ".join([*size, ", ".join(archives)]) if archives else "".join(size)


def write_component(group: str, component: str, options: Mapping[str, Commented]) -> str:
    """Return what a component is, its knobs as its best commented option has them, and the others.

    Each further option is a row with the values that differ.
    """
    shown = choose_shown_option(group, component, options)
    shared = read_shared_knobs(group)
    knobs = {
        knob: annotation
        for knob, annotation in read_component_knobs(group, component).items()
        if knob not in shared or knob in options[shown].values
    }
    parts = [f"## {component}\n", f"{read_description(group, component)}\n"]
    if knobs:
        rows = list_knobs(knobs, options[shown], f"{group}.")
        parts.append(write_knobs(f"in `{shown}`", rows))
    values = flatten(options[shown].values, knobs)
    others = []
    for name, option in options.items():
        own = flatten(option.values, {**shared, **knobs})
        differing = {key: value for key, value in own.items() if values.get(key, ...) != value}
        if differing:
            settings = [code(f"{key}={format_knob(value)}") for key, value in differing.items()]
            others.append((code(name), ", ".join(settings)))
    if others:
        parts.append(write_table(("option", "other values"), others))
    return "\n".join(parts)


def choose_shown_option(group: str, component: str, options: Mapping[str, Commented]) -> str:
    """Return the option that stands for a component: the default, its namesake, or the fullest."""
    for name in (read_default_options()[group], component):
        if name in options:
            return name
    return max(options, key=lambda name: len(options[name].comments))


def read_description(group: str, component: str) -> str:
    """Return what the source says of a component.

    It is the first paragraph of its module, or of its function in a module of many, and what the
    function says further.
    """
    file = locate_component(group, component)[0]
    function = ast.get_docstring(find_functions(file)[component]) or ""
    first, _, rest = function.partition("\n\n")
    if path_of_group(group).is_dir():
        first = (ast.get_docstring(parse_source(file)) or "").partition("\n\n")[0]
    return f"{first}\n\n{rest}".strip()


def list_knobs(
    knobs: Mapping[str, Any], option: Commented, prefix: str, auto: Collection[str] = ()
) -> Iterator[Sequence[str]]:
    """Yield knob, value, what may stand there and what it does; of a record, also of its fields."""
    for key, annotation in knobs.items():
        comment = escape(option.comments.get(key, ""))
        value = option.values.get(key, ...)
        if isinstance(annotation, Record):
            yield code(prefix + key), "", f"{', '.join(annotation.fields)}", comment
            yield from list_knobs(annotation.fields, option.select(key), f"{prefix}{key}.")
        else:
            shown = "" if value is ... else code(format_knob(value))
            text = describe_values(annotation) + (", or `auto`" if key in auto else "")
            yield code(prefix + key), shown, text, comment


def flatten(
    values: Mapping[str, Any], knobs: Mapping[str, Any], prefix: str = ""
) -> dict[str, Any]:
    """Return the values of knobs by dotted key, with those of the fields of records."""
    flat: dict[str, Any] = {}
    for key, annotation in knobs.items():
        if key in values and isinstance(annotation, Record) and isinstance(values[key], Mapping):
            flat |= flatten(values[key], annotation.fields, f"{prefix}{key}.")
        elif key in values:
            flat[prefix + key] = values[key]
    return flat


def describe_values(annotation: Any) -> str:
    """Return in words what may stand for a knob, with all choices that there are."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(code(format_value(choice)) for choice in args)
    if origin in (types.UnionType, Union):
        return ", or ".join(map(describe_values, args))
    return escape(describe_annotation(annotation).replace(f" to {LARGEST_INTEGER}", ""))


def format_knob(value: Any) -> str:
    """Return a value as the command line takes it; of a list or mapping, as YAML in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {format_knob(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(format_knob, value)) + "]"
    return format_value(value)


def write_knobs(value: str, rows: Iterable[Sequence[str]], what: str = "knob") -> str:
    """Return the table of rows of `list_knobs`; `value` is the heading of the values."""
    return write_table((what, value, "what may stand there", "what it does"), rows)


def write_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def escape(text: str) -> str:
    """Return a comment as Markdown for a cell of a table."""
    for sign in "\\|*<_[":
        text = text.replace(sign, f"\\{sign}")
    return text


if __name__ == "__main__":
    main()
