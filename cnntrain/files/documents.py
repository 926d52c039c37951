"""Read YAML and JSON that a stranger may have written as plain data: no bombs, no tags.

A YAML file of 500 bytes can stand for 10^9 values, by aliases of aliases. Values are counted before
they are built. Every function raises ValueError with a reason, or OSError.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cnntrain.errors import SpecError
from cnntrain.files.writing import write_whole
from cnntrain.terminal.units import format_size

SMALL_BYTES = 2**20  # largest size of an option or a spec
LARGE_BYTES = 2**26  # largest size of a file that lists every job, layer or row
MAX_NODES = 10**5  # values in a small document, with its aliases written out
MAX_DEPTH = 100  # nested brackets
MAX_DIGITS = 1000  # of a number; the time to convert it grows with their square


class DocumentTooLarge(ValueError):
    """A document that would take hours to read, or all memory."""


class BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader, limited to trees of a bounded size."""

    def fetch_flow_collection_start(self, kind: Any) -> None:
        if self.flow_level > MAX_DEPTH:  # each level makes PyYAML slower
            raise DocumentTooLarge("it is nested too deep")
        super().fetch_flow_collection_start(kind)

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            count_nodes(node, {})
        return node


def count_nodes(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Return how many values a node stands for, with aliases written out.

    `sizes` holds the sizes of nodes by id, None for those that are being counted. Raises
    DocumentTooLarge for too many values, and for a node that contains itself.
    """
    if id(node) in sizes:
        size = sizes[id(node)]
        if size is None:
            raise DocumentTooLarge(f"line {find_line_number(node)}: it contains itself")
        return size
    sizes[id(node)] = None
    size = 1 + sum(count_nodes(child, sizes) for child in list_children(node))
    if size > MAX_NODES + 10 * len(sizes):
        raise DocumentTooLarge(
            f"line {find_line_number(node)}: its aliases stand for more than {MAX_NODES:,} values"
        )
    sizes[id(node)] = size
    return size


def list_children(node: yaml.Node) -> list[yaml.Node]:
    """Return the parts of a node; raise ValueError for a duplicate key or a very long number."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            twice = next(key for number, key in enumerate(keys) if key in keys[:number])
            raise ValueError(f"line {find_line_number(node)}: {twice} is there twice")
        return [part for pair in node.value for part in pair]
    if isinstance(node, yaml.SequenceNode):
        return node.value
    if len(node.value) > MAX_DIGITS and node.tag.endswith((":int", ":float")):
        raise DocumentTooLarge(
            f"line {find_line_number(node)}: a number of {len(node.value):,} digits"
        )
    return []


def find_line_number(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def read_text(file: Path, most: int) -> str:
    """Return a text in UTF-8; raise DocumentTooLarge if it has more than `most` bytes."""
    with file.open("rb") as content:
        data = content.read(most + 1)
    if len(data) > most:
        raise DocumentTooLarge(f"it is larger than {format_size(most)}")
    return data.decode("utf-8")


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text, or raise ValueError."""
    try:
        return yaml.load(text, BoundedLoader)
    except RecursionError:
        raise DocumentTooLarge("it is nested too deep") from None
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{where}{error.problem}") from None
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(" ".join(str(error).split())) from None  # !!int "", !!bool x, …


def parse_json(text: str) -> Any:
    """Return the value of a JSON text, with None for numbers that are not finite.

    Raises ValueError if it cannot be read.
    """
    try:
        return replace_nonfinite(json.loads(text))
    except RecursionError:
        raise DocumentTooLarge("it is nested too deep") from None


def replace_nonfinite(value: Any) -> Any:
    """Return a nested value with None for numbers that no finite float holds: nan, inf, 10^400."""
    if isinstance(value, Mapping):
        return {key: replace_nonfinite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_nonfinite(item) for item in value]
    beyond = isinstance(value, int | float) and not abs(value) <= sys.float_info.max
    return None if beyond else value


def read_yaml(file: Path, most: int = SMALL_BYTES) -> Any:
    return parse_yaml(read_text(file, most))


def read_json(file: Path, most: int = LARGE_BYTES) -> Any:
    return parse_json(read_text(file, most))


def read_mapping(file: Path, most: int = LARGE_BYTES) -> dict[str, Any]:
    """Return the mapping in a JSON or YAML file of a run; raise SpecError if it has none."""
    try:
        content = (read_json if file.suffix == ".json" else read_yaml)(file, most)
    except (OSError, ValueError) as error:
        raise explain_damage(file, error) from None
    if not isinstance(content, dict):
        raise explain_damage(file, "it is no mapping")
    return content


def explain_damage(file: Path, why: object) -> SpecError:
    """Return the SpecError for a file of a run that cannot be used."""
    text = " ".join(str(why).split()) or type(why).__name__
    return SpecError(
        f"{file} cannot be used: {text if len(text) <= 200 else text[:200] + '…'}",
        "a run as training left it",
    )


def write_json(path: Path, value: Any) -> None:
    """Write a value to a JSON file, in place of an older one; nan and inf become null."""
    write_whole(path, json.dumps(replace_nonfinite(value), indent=2) + "\n")
