"""Read the comments that stand behind the values of a YAML file."""

from collections.abc import Iterator

import yaml

from cnntrain.files.documents import BoundedLoader


def read_comments(text: str) -> dict[str, str]:
    """Return the comment at the end of each key's line, by the dotted key."""
    lines = text.splitlines()
    root = yaml.compose(text, BoundedLoader)
    ends = dict(find_value_ends(root)) if root is not None else {}
    rests = {
        key: lines[mark.line][mark.column :].lstrip(" :") if mark.line < len(lines) else ""
        for key, mark in ends.items()
    }
    return {key: rest[1:].strip() for key, rest in rests.items() if rest.startswith("#")}


def find_value_ends(node: yaml.Node, prefix: str = "") -> Iterator[tuple[str, yaml.Mark]]:
    """Yield each dotted key, and where its value ends; of a block below it, where the key ends."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        is_block = isinstance(value, yaml.CollectionNode) and not value.flow_style
        yield f"{prefix}{key.value}", (key if is_block else value).end_mark
        yield from find_value_ends(value, f"{prefix}{key.value}.")
