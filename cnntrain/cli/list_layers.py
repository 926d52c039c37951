"""`cnntrain list model OPTION`: the layers of one network, for any images and classes."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.text import Text

from cnntrain.analysis.zoo import build_unfilled_network, find_model_file
from cnntrain.errors import SpecError, find_nearest, format_choices
from cnntrain.spec import option_files
from cnntrain.spec.about import PaperNetwork, read_paper_network
from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.knobs import Count, convert_value
from cnntrain.spec.overrides import parse_single_override
from cnntrain.terminal.tables import (
    NARROW_PIPE_WIDTH,
    format_pixels,
    make_console,
    make_layer_table,
)

MAX_CONNECTED_LAYERS = 10  # of a network whose connections are shown, layer by layer
INPUT_KEYS = ("classes", "dataset.image_size", "dataset.channels")
DATA_KEYS = ("dataset", "data_dir", "manual_dir")


def print_layers(
    option: str,
    words: Sequence[str],
    config_dir: str | None,
    as_json: bool,
    diagram: str | None = None,
) -> None:
    """Print the layers of an option's network, with totals; draw its graph into `diagram`, an SVG.

    `words` are overrides of the model, and the images and classes to build it for. Raises SpecError
    for others, and for a file that cannot be written.
    """
    file = None
    if diagram is not None:
        from cnntrain.reports.contact_sheet import choose_picture_file

        file = choose_picture_file(option, diagram, ".svg", "--diagram")
    made_for = choose_network(option, words, config_dir)
    network = build_unfilled_network(option, made_for, config_dir)

    from cnntrain.analysis.connections import count_connections
    from cnntrain.analysis.layer_table import count_totals, describe_layers, find_receptive_field

    connections = count_connections(network)
    rows, total = describe_layers(network), count_totals(network)
    title = format_title(option, made_for)
    if file is not None:
        from cnntrain.reports.contact_sheet import write_new_file
        from cnntrain.reports.graph_diagram import draw_graph

        write_new_file(draw_graph(rows, title).encode(), file)
    uncounted = [row.layer for row in rows if row.multiply_adds is None]
    if as_json:
        described = {
            "option": option,
            "image_shape": made_for.image_shape,
            "num_classes": made_for.num_classes,
            "overrides": made_for.overrides,
            **total,
            "receptive_field": find_receptive_field(rows),
            "not_counted": uncounted,
            "connections": connections,
            "layers": [asdict(row) for row in rows],
        }
        print(json.dumps(described, indent=2))
        return
    fixed = total["parameters"] - total["trainable"]
    lines = [
        f"{total['parameters']:,} parameters" + (f", {fixed:,} of them fixed" if fixed else ""),
        f"{total['multiply_adds']:,} multiply-adds of one forward pass for one image",
    ]
    if len(connections) <= MAX_CONNECTED_LAYERS:
        each = ", ".join(f"{name} {number:,}" for name, number in connections.items())
        lines.append(f"{sum(connections.values()):,} connections: {each}")
    if field := find_receptive_field(rows):
        lines.append(f"receptive field of {format_pixels(field)} pixels")
    if uncounted:
        lines.append(f"not counted are the multiply-adds of {', '.join(uncounted)}")
    console = make_console(NARROW_PIPE_WIDTH)
    console.print(Text(title, style="bold"), highlight=False)
    console.print(make_layer_table(rows, console.width))
    console.print(Text("\n".join(lines)), highlight=False)
    if file is not None:
        console.print(Text(f"the graph is drawn in {file}"), highlight=False, soft_wrap=True)


def format_title(option: str, made_for: PaperNetwork) -> str:
    """Return the images, the classes and the overrides of a network in one line."""
    image = "x".join(map(str, made_for.image_shape))
    chosen = " ".join([f"model={option}", *made_for.overrides])
    return f"{image} images, {made_for.num_classes} classes, {chosen}"


def choose_network(option: str, words: Sequence[str], config_dir: str | None) -> PaperNetwork:
    """Return the images, the classes and the overrides of the model that `words` ask for.

    Without `dataset=…` they are those of the option's paper, as far as no word changes them. With
    it the network is the one that would be trained on the data set.
    """
    file = find_model_file(option, config_dir)
    keys = {parsed.key_or_group: parsed for parsed in map(parse_single_override, words)}
    for key, parsed in keys.items():
        check_layer_word(parsed.text, key, option, file, "dataset" in keys)
    overrides = tuple(word for word in words if word.lstrip("+~").startswith("model."))
    if "dataset" in keys:
        rest = [word for word in words if word not in overrides and not word.startswith("classes=")]
        made_for = read_dataset_shape(rest, config_dir)
    else:
        made_for = read_paper_network(file)
        height, width, channels = made_for.image_shape
        if override := keys.get("dataset.image_size"):
            size = convert_value(override.value(), tuple[Count, Count], "dataset.image_size")
            height, width = size
        if override := keys.get("dataset.channels"):
            channels = convert_value(override.value(), Count, "dataset.channels")
        made_for = replace(made_for, image_shape=(height, width, channels))
    if override := keys.get("classes"):
        count = convert_value(override.value(), Count, "classes")
        made_for = replace(made_for, num_classes=count)
    return replace(made_for, overrides=(*made_for.overrides, *overrides))


def check_layer_word(word: str, key: str, option: str, file: Any, has_dataset: bool) -> None:
    """Raise SpecError for a word that changes neither the network nor its images and classes."""
    data_keys = (*INPUT_KEYS, *DATA_KEYS) if has_dataset else (*INPUT_KEYS, "dataset")
    known = key in data_keys or (has_dataset and key.startswith("dataset."))
    if known or key.startswith("model."):
        return
    knobs = [f"model.{knob}" for knob in option_files.load_option(file) if knob != "name"]
    settings = {setting.rpartition(".")[2]: setting for setting in [*INPUT_KEYS, *knobs]}
    close = find_nearest(key.rpartition(".")[2], settings)
    value = word.partition("=")[2]
    raise SpecError(
        f"{word} is not about the layers of {option}",
        f"{format_choices([*knobs, *INPUT_KEYS])}, or dataset=NAME",
        f"{settings[close]}={value or 'VALUE'}" if close else None,
    )


def read_dataset_shape(words: Sequence[str], config_dir: str | None) -> PaperNetwork:
    """Return the images and the number of classes of the data set that overrides choose."""
    from cnntrain.planning.dataset_outline import outline_dataset

    spec = build_provisional_spec(compose_config(words, config_dir).config)
    splits = outline_dataset(spec, config_dir).splits
    height, width, channels = splits.image_shape
    return PaperNetwork((height, width, channels), len(splits.class_names), ())
