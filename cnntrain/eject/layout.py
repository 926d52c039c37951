"""Lay out statements as ruff would: double quotes, at most 100 columns, brackets opened last."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

WIDTH = 100
OPENING, CLOSING = "([{", ")]}"


def format_statement(node: ast.AST, indent: int, first_only: bool = False) -> list[str]:
    """Return the lines of a statement, or only of its header, for an indentation in columns."""
    text = ast.unparse(ast.fix_missing_locations(node))
    if first_only:
        text = text.split("\n", 1)[0]
    return fit_line(polish_text(text), indent)


def polish_text(text: str) -> str:
    """Return the text of a statement on one line with double quotes and hugging powers."""
    text = re.sub(r"^((?:return|[\w, ]+ =) )\((.*)\)$", strip_outer, text)
    if text.startswith("def "):
        text = re.sub(r"(\w: [^,()=]+)=(?=\S)", r"\1 = ", text)
    parts, end = [], 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING and token.start[0] == token.end[0] == 1:
            parts += [text[end : token.start[1]], double_quotes(token.string)]
            end = token.end[1]
    text = "".join(parts) + text[end:]
    return re.sub(r"([\w.]+) \*\* (-?[\w.]+)(?![\w.(\[])", r"\1**\2", text)


def strip_outer(match: re.Match[str]) -> str:
    """Return a returned tuple without its parentheses, unless these are no pair."""
    depth = 0
    for character in match[2]:
        depth += (character in OPENING) - (character in CLOSING)
        if depth < 0:
            return match[0]
    return match[1] + match[2] if find_commas(match[2]) else match[0]


def double_quotes(string: str) -> str:
    prefix, rest = re.match(r"([a-zA-Z]*)(.*)", string, re.DOTALL).groups()  # type: ignore[union-attr]
    if rest.startswith("'") and not rest.startswith("'''") and not set('"\\') & set(rest):
        return f'{prefix}"{rest[1:-1]}"'
    return string


def iterate_code(text: str) -> Iterator[tuple[int, str]]:
    """Yield the characters of a text that are outside of strings, each with its place."""
    quote = ""
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[place - 1] != "\\" else quote
        elif character in "\"'":
            quote = character
        else:
            yield place, character


def find_commas(text: str) -> list[int]:
    """Return the places of the commas outside of all brackets and strings."""
    places, depth = [], 0
    for place, character in iterate_code(text):
        if character in OPENING:
            depth += 1
        elif character in CLOSING:
            depth -= 1
        elif character == "," and not depth:
            places.append(place)
    return places


def find_clauses(text: str) -> list[int]:
    """Return the places of the `for` and `if` of a comprehension, outside of all brackets."""
    masked = list(text)
    for first, last in find_brackets(text):
        masked[first : last + 1] = "_" * (last + 1 - first)
    found = [match.start() for match in re.finditer(r"(?<= )(for|if) ", "".join(masked))]
    return found if any(text.startswith("for ", place) for place in found) else []


def find_brackets(text: str) -> list[tuple[int, int]]:
    """Return the first and last place of each outermost pair of brackets with something inside."""
    pairs, depth, start = [], 0, 0
    for place, character in iterate_code(text):
        if character in OPENING:
            start = place if not depth else start
            depth += 1
        elif character in CLOSING:
            depth -= 1
            if not depth and place > start + 1:
                pairs.append((start, place))
    return pairs


def fit_line(text: str, indent: int) -> list[str]:
    """Return a line as several, if it is too long: what a bracket holds stands by itself.

    It is the last bracket before which the line has room, and of a `def` the first one.
    """
    pad = " " * indent
    pairs = find_brackets(text)
    if len(pad + text) <= WIDTH or not pairs:
        return [pad + text]
    ordered = pairs[:1] if text.startswith("def ") else pairs[::-1]
    fitting = [pair for pair in ordered if indent + pair[0] < WIDTH]
    first, last = (fitting or ordered)[0]
    head, body, tail = text[: first + 1], text[first + 1 : last], text[last:]
    return [pad + head, *split_body(body, indent + 4), pad + tail]


def split_body(body: str, indent: int) -> list[str]:
    """Return what stands in brackets on a line, or on one for each of its parts."""
    if indent + len(body) <= WIDTH:
        return [" " * indent + body]
    clauses, commas = find_clauses(body), find_commas(body)
    cuts = clauses or [place + 1 for place in commas]
    parts = [body[a:b].strip() for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    if commas and not clauses:
        parts = [f"{part.removesuffix(',')}," for part in parts if part]
    return [line for part in parts for line in fit_line(part, indent)]
