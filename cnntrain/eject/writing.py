"""Write folded definitions as text: as they stand in our source where nothing changed in them."""

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from cnntrain.eject.folding import is_docstring
from cnntrain.eject.layout import WIDTH, format_statement
from cnntrain.eject.sources import Source

DEFINITIONS = ast.FunctionDef | ast.ClassDef
FOR_TOOLS = re.compile(r"\s*# (fmt:|type:|noqa|ruff:).*")  # comments that no reader needs
REFUSALS = re.compile(r"\s*Raises SpecError[^.]*?\.(?=\s|$)(?: It hints[^.]*\.)?", re.DOTALL)


def write_definition(node: Any, constants: Mapping[str, Any]) -> list[str]:
    """Return the lines of a function, class or constant that stands at the top of a script.

    `constants` are the parameters of a function that have gone; its docstring says what they were.
    """
    if isinstance(node, DEFINITIONS):
        return [
            *list_comments_above(node, 0),
            *write_header(node, 0),
            *write_body(node.body, 4, constants),
        ]
    return write_block([node], 0)


def write_body(
    body: list[Any], indent: int, constants: Mapping[str, Any] | None = None
) -> list[str]:
    """Return the lines of the body of a function or a class, whose docstring comes first."""
    first: Any = body[0] if body else None
    if first is not None and is_docstring(first):
        text = describe_constants(str(first.value.value), constants or {})
        rest = write_block(body[1:], indent)
        after = first.original.end_lineno  # the index of the line behind the docstring
        gap = [""] if rest and not first.source.lines[after].strip() else []
        return [*write_docstring(text, indent), *gap, *rest]
    return write_block(body, indent)


def describe_constants(docstring: str, constants: Mapping[str, Any]) -> str:
    """Return a docstring without what it says of mistakes, and with the values of its knobs."""
    text = REFUSALS.sub("", inspect.cleandoc(docstring)).strip()
    told = [name for name in constants if f"`{name}`" in text]
    if told:
        values = ", ".join(f"`{name}` is {constants[name]!r}".replace("'", '"') for name in told)
        text += f"\n\nHere {values}."
    return text


def write_docstring(text: str, indent: int) -> list[str]:
    pad = " " * indent
    summary, _, rest = text.partition("\n")
    if not rest.strip():
        if len(pad + summary) + 6 <= WIDTH:
            return [f'{pad}"""{summary}"""']
        return [f'{pad}"""{summary}', f'{pad}"""']
    paragraphs = rest.strip("\n").split("\n\n")
    lines = [f'{pad}"""{summary}']
    for number, paragraph in enumerate(paragraphs):
        lines += [""] if number or rest.startswith("\n") else []
        own = paragraph.split("\n")
        if max(map(len, own)) + indent > WIDTH or paragraph.startswith("Here "):
            own = textwrap.wrap(paragraph, WIDTH - indent)
        lines += [f"{pad}{line}".rstrip() for line in own]
    return [*lines, f'{pad}"""']


def write_block(statements: list[Any], indent: int) -> list[str]:
    """Return the lines of the statements of a block, with the comments and gaps between them."""
    lines: list[str] = []
    was_definition = False
    for statement in statements:
        original, source = statement.original, statement.source
        comments = list_comments_above(statement, indent)
        above = find_first_line(original) - len(comments) - 2  # the index of the line above them
        is_gap = above >= 0 and not source.lines[above].strip()
        if lines and (is_gap or isinstance(statement, DEFINITIONS) or was_definition):
            lines.append("")
        lines += comments + write_statement(statement, indent)
        was_definition = isinstance(statement, DEFINITIONS)
    return lines


def write_statement(node: Any, indent: int) -> list[str]:
    if isinstance(node, DEFINITIONS):
        return [*write_header(node, indent), *write_body(node.body, indent + 4)]
    if not hasattr(node, "body"):
        return write_simple_statement(node, indent)
    lines = write_header(node, indent)
    lines += write_block(node.body, indent + 4)
    for handler in getattr(node, "handlers", []):
        lines += write_header(handler, indent)
        lines += write_block(handler.body, indent + 4)
    for field, word in (("orelse", "else"), ("finalbody", "finally")):
        if not (branch := getattr(node, field, [])):
            continue
        if len(branch) == 1 and isinstance(branch[0], ast.If) and is_elif(branch[0]):
            inner = write_statement(branch[0], indent)
            lines += [f"{' ' * indent}el{inner[0].strip()}", *inner[1:]]
        else:
            lines += [f"{' ' * indent}{word}:", *write_block(branch, indent + 4)]
    return lines


def is_elif(node: Any) -> bool:
    line = node.source.lines[node.original.lineno - 1]
    return line.strip().startswith("elif")


def write_simple_statement(node: Any, indent: int) -> list[str]:
    """Return a statement as it stands in the source if it is the same, else laid out anew."""
    original, source = node.original, node.source
    last = source.comments.get(original.end_lineno, (0, ""))[1]
    lines = source.lines[original.lineno - 1 : original.end_lineno]
    # One that is indented less may have room on fewer lines; a comma at its end keeps it as it is.
    may_join = len(lines) > 1 and indent < original.col_offset and not (
        lines[-2].endswith(",") or has_comments(original, source)
    )  # fmt: skip
    is_same = ast.unparse(node) == ast.unparse(original)
    if is_same and "fmt:" not in last and not may_join:
        return [FOR_TOOLS.sub("", line) for line in shift_lines(lines, original.col_offset, indent)]
    return add_comment(format_statement(node, indent), last)


def has_comments(node: Any, source: Source) -> bool:
    return any(line in source.comments for line in range(node.lineno, node.end_lineno))


def write_header(node: Any, indent: int) -> list[str]:
    """Return the first line, or lines, of a compound statement, with its decorators."""
    bare, original, source = strip_body(node), node.original, node.source
    end = (original.body[0].lineno if original.body else original.lineno) - 1
    decorators = [
        f"{' ' * indent}@{ast.unparse(part)}" for part in getattr(node, "decorator_list", [])
    ]
    while end > original.lineno and not strip_comment(source, end).endswith(":"):
        end -= 1
    comment = source.comments.get(end, (0, ""))[1]
    is_same = ast.unparse(bare) == ast.unparse(strip_body(original))
    if is_same and strip_comment(source, end).endswith(":") and "fmt:" not in comment:
        lines = shift_lines(source.lines[original.lineno - 1 : end], original.col_offset, indent)
        if lines[0].strip().startswith("elif"):
            lines[0] = lines[0].replace("elif", "if", 1)
        return [*decorators, *(FOR_TOOLS.sub("", line) for line in lines)]
    text = format_statement(bare, indent, first_only=True)
    return [*decorators, *add_comment(text, comment)]


def strip_body(node: Any) -> Any:
    """Return a compound statement with an empty body."""
    fields = dict(ast.iter_fields(node))
    for name in ("body", "orelse", "handlers", "finalbody", "decorator_list"):
        if name in fields:
            fields[name] = [ast.Pass()] if name == "body" else []
    return ast.fix_missing_locations(ast.copy_location(type(node)(**fields), node))


def strip_comment(source: Source, line: int) -> str:
    """Return the code of a line, counted from 1."""
    column, _ = source.comments.get(line, (None, ""))
    return source.lines[line - 1][:column].rstrip()


def add_comment(lines: list[str], comment: str) -> list[str]:
    """Return lines with a comment behind the last, if it is for readers and there is room."""
    if comment and not FOR_TOOLS.match(f" {comment}") and len(lines[-1] + comment) + 2 <= WIDTH:
        return [*lines[:-1], f"{lines[-1]}  {comment}"]
    return lines


def list_comments_above(node: Any, indent: int) -> list[str]:
    """Return the comments that stand right above a statement, on lines of their own."""
    found: list[str] = []
    source = node.source
    line = find_first_line(node.original) - 1
    while line in source.comments and not strip_comment(source, line):
        text = source.comments[line][1]
        if text.startswith("# %%"):
            break
        found.append(" " * indent + text)
        line -= 1
    return found[::-1]


def find_first_line(node: Any) -> int:
    """Return the number of the first line of a statement, with its decorators."""
    return min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", []))])


def shift_lines(lines: list[str], before: int, after: int) -> list[str]:
    """Return lines that were indented by `before` columns indented by `after`."""
    return [" " * after + line[before:] if line[:before].isspace() or not before else
            line for line in lines]  # fmt: skip
