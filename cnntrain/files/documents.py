"""YAML and JSON that may be anyone's, read as plain data: no bomb, no tag, no surprise.

A YAML file of 500 bytes can stand for 10^9 values, by aliases of aliases; it is measured before any
of them is made. Everything raises ValueError with a reason, or OSError.
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

SMALL_BYTES, LARGE_BYTES = (
    2**20,
    2**26,
)  # bytes: of an option or a spec; of what lists every job, layer or row
MAX_NODES = 10**5  # that a small document may stand for, its aliases written out
MAX_DEPTH = 100  # of brackets in brackets
MAX_DIGITS = 1000  # of a number, beyond which its conversion takes longer than it is worth


class DocumentTooLarge(ValueError):
    """A document that would take hours to read, or all memory."""


class BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader, of documents that are trees of a bounded size."""

    def fetch_flow_collection_start(self, kind: Any) -> None:
        if self.flow_level > MAX_DEPTH:  # each level makes PyYAML slower
            raise DocumentTooLarge("it is nested too deep")
        super().fetch_flow_collection_start(kind)

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            count_nodes(node, {})
        return node


def count_nodes(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Return how many values a node stands for; ValueError for too many, or a part of itself."""
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise DocumentTooLarge(f"line {find_line_number(node)}: it contains itself")
        return size
    known[id(node)] = None
    size = 1 + sum(count_nodes(child, known) for child in list_children(node))
    if size > MAX_NODES + 10 * len(known):
        raise DocumentTooLarge(
            f"line {find_line_number(node)}: its aliases stand for more than {MAX_NODES:,} values"
        )
    known[id(node)] = size
    return size


def list_children(node: yaml.Node) -> list[yaml.Node]:
    """The parts of a node; ValueError for a key that is there twice, or an endless number."""
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
    """Return a text in UTF-8 of at most so many bytes."""
    with file.open("rb") as content:
        data = content.read(most + 1)
    if len(data) > most:
        raise DocumentTooLarge(f"it is larger than {format_size(most)}")
    return data.decode("utf-8")


def parse_yaml(text: str) -> Any:
    """Return what a YAML text says, or raise ValueError."""
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
    """Return what a JSON text says, null for numbers that are not finite; or raise ValueError."""
    try:
        return replace_nonfinite(json.loads(text))
    except RecursionError:
        raise DocumentTooLarge("it is nested too deep") from None


def replace_nonfinite(value: Any) -> Any:
    """The same with null for numbers that JSON cannot say or no float can: nan, inf, 10^400."""
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
    """Return the mapping in a JSON or YAML file of a run; SpecError where there is none."""
    try:
        known = (read_json if file.suffix == ".json" else read_yaml)(file, most)
    except (OSError, ValueError) as error:
        raise explain_damage(file, error) from None
    if not isinstance(known, dict):
        raise explain_damage(file, "it is no mapping")
    return known


def explain_damage(file: Path, why: object) -> SpecError:
    """The answer to a file of a run that cannot be used."""
    text = " ".join(str(why).split()) or type(why).__name__
    return SpecError(
        f"{file} cannot be used: {text if len(text) <= 200 else text[:200] + '…'}",
        "a run as training left it",
    )


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file; what JSON cannot say (nan, inf) becomes null."""
    write_whole(path, json.dumps(replace_nonfinite(value), indent=2) + "\n")
