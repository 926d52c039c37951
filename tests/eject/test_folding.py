"""A function with constants folded in computes what it computes with them as arguments."""

import ast
import contextlib
import textwrap

import pytest

from cnntrain.eject.folding import Facts, fold_definition
from cnntrain.eject.sources import Source

# Functions of numbers and of `flag` and `factor`, which are folded, and what must be gone.
CASES = {
    "a branch": ("if flag:\n    return 0\nreturn max(numbers)", "flag"),
    "a condition": ("return [n for n in numbers if n > 2 and not flag]", "flag"),
    "a value": ("scale = factor + 1\nreturn [scale * n for n in numbers]", "factor"),
    "a name that is bound again": (
        "if flag:\n    best = 0\nfor n in numbers:\n    if n % 2:\n        best = n\nreturn best",
        "flag",
    ),
    "a parameter that is bound again": ("factor += numbers[0]\nreturn factor", "flag"),
    "a draw that nothing reads": (
        "drawn = numbers.pop()\nif flag:\n    return drawn\nreturn numbers", "flag",
    ),
    "a context": (
        "with contextlib.nullcontext() if not flag else open('x'):\n    return sum(numbers)",
        "with",
    ),
    "one context of two": (
        "with contextlib.nullcontext(), contextlib.suppress(IndexError):\n    return numbers[9]\n"
        "return None", "nullcontext",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_folded_function_computes_the_same(case):
    body, gone = CASES[case]
    text = f"def compute(numbers, flag, factor):\n{textwrap.indent(body, '    ')}"
    tree, constants = ast.parse(text), {"flag": False, "factor": 3}
    source = Source("case", text.splitlines(), {}, tree, {}, {})
    folded = fold_definition(tree.body[0], source, constants, Facts({}, lambda place: False))
    results, written = [], ast.unparse(ast.fix_missing_locations(folded))
    for code in (text, written):
        space = {"contextlib": contextlib}
        exec(code, space)
        results.append(space["compute"]([1, 3, 4], **constants))
    assert results[0] == results[1]
    assert gone not in written.partition("\n")[2]
