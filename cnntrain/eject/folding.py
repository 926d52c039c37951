"""Fold what is constant in a run into a function: knobs become values, dead branches go.

A statement that is folded keeps its first form as `original`, so that one which did not change can
be written as it stands in our source, with its comments.
"""

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cnntrain.eject.sources import (
    PURE,
    UNKNOWN,
    Place,
    Source,
    evaluate_expression,
    list_bound_names,
    list_loaded_names,
)

LITERALS = (bool, int, float, str, type(None))
# Expressions that become their value, where it is known. Sums and products stay: they teach.
REPLACED = (
    ast.Name | ast.Subscript | ast.Attribute | ast.Call | ast.JoinedStr | ast.Compare | ast.BoolOp
    | ast.ListComp
)  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What is known beyond a function: settings, and which functions have nothing left to do."""

    settings: Mapping[str, Any]  # known in conditions only: elsewhere their names stay
    is_empty: Callable[[Place], bool]


def is_literal(value: Any) -> bool:
    """Return whether a value can be written down."""
    if isinstance(value, list | tuple):
        return all(map(is_literal, value))
    if isinstance(value, dict):
        return all(map(is_literal, [*value, *value.values()]))
    return isinstance(value, LITERALS)


def write_literal(value: Any) -> ast.expr:
    return ast.parse(repr(value), mode="eval").body


def is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def count_bindings(node: ast.AST) -> Counter[str]:
    """Return how often each name is bound within a definition: as a parameter, or assigned to."""
    found = [part.arg for part in ast.walk(node) if isinstance(part, ast.arg)]
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            found.append(part.id)
        elif isinstance(part, ast.FunctionDef | ast.ClassDef) and part is not node:
            found.append(part.name)
    return Counter(found)


def fold_definition(
    node: ast.stmt, source: Source, constants: Mapping[str, Any], facts: Facts
) -> Any:
    """Return a function, class or constant of `source` with its `constants` folded in.

    `constants` are the values of parameters, by name.
    """
    kept = set[str]()  # names of values that cannot be written down, and are needed
    while True:
        folded = copy_definition(node, source)
        dropped = set[str]()
        known = dict(constants)
        before = None
        while before != (before := ast.dump(folded)):
            folder = Folder(source, folded, known, facts, kept)
            folded = folder.fold(folded)
            known |= folder.local
            dropped |= folder.dropped
        needed = dropped & list_loaded_names(folded)
        if not needed:
            return folded
        kept |= needed


def copy_definition(node: ast.stmt, source: Source) -> ast.stmt:
    """Return a copy of which every statement knows its `original`, and the `source` of that."""
    copied = copy.deepcopy(node)
    for part, original in zip(ast.walk(copied), ast.walk(node), strict=True):
        if isinstance(part, ast.stmt | ast.ExceptHandler):
            part.original, part.source = original, source  # type: ignore[union-attr]
    return copied


class Folder(ast.NodeTransformer):
    """One pass over a definition; `local` has the constants that it found on the way."""

    def __init__(
        self,
        source: Source,
        node: ast.stmt,
        constants: Mapping[str, Any],
        facts: Facts,
        kept: Iterable[str],
    ):
        self.source, self.facts, self.kept = source, facts, set(kept)
        self.bindings = count_bindings(node)
        self.local: dict[str, Any] = {}
        self.dropped: set[str] = set()
        self.constants = {n: v for n, v in constants.items() if self.bindings[n] <= 1}

    def fold(self, node: Any) -> Any:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.body = self.fold_block(node.body)
            if isinstance(node, ast.FunctionDef):
                node.args.defaults = [self.visit(part) for part in node.args.defaults]
            return drop_unused_names(node)
        return self.generic_visit(node)

    def find_value(self, node: ast.expr, with_settings: bool = False) -> Any:
        """Return the value of an expression, or UNKNOWN; settings are known in conditions only."""
        settings = self.facts.settings if with_settings else {}
        known = {**settings, **self.constants, **self.local}
        names = list_loaded_names(node) - list_bound_names(node) - {*known}
        if any(self.bindings[name] for name in names):  # names of values that are not known
            return UNKNOWN
        return evaluate_expression(node, known, self.source)

    def uses_constant(self, node: ast.AST) -> bool:
        return not list_loaded_names(node).isdisjoint({*self.constants, *self.local})

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, REPLACED) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            calls = list_loaded_names(node) & {*PURE}
            if calls or self.uses_constant(node):
                value = self.find_value(node, with_settings=bool(calls))
                if value is not UNKNOWN and is_literal(value):
                    return write_literal(value)
        return super().visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        value = self.find_value(node.test, with_settings=True)
        if value is UNKNOWN:
            return self.generic_visit(node)
        return self.visit(node.body if value else node.orelse)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        value = self.find_value(node.operand, with_settings=True)
        if isinstance(node.op, ast.Not) and value is not UNKNOWN:
            return ast.Constant(not value)
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """Drop the parts that decide nothing, and those behind one that decides."""
        decisive = isinstance(node.op, ast.Or)  # the truth of a part that decides
        parts: list[ast.expr] = []
        for part in node.values:
            value = self.find_value(part, with_settings=True)
            if value is UNKNOWN or bool(value) is decisive or part is node.values[-1]:
                parts.append(self.visit(part))
            if value is not UNKNOWN and bool(value) is decisive:
                break
        return ast.BoolOp(node.op, parts) if len(parts) > 1 else parts[0]

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        keywords: list[ast.keyword] = []
        for keyword in node.keywords:
            if keyword.arg is None and isinstance(keyword.value, ast.Dict):
                pairs = zip(keyword.value.keys, keyword.value.values, strict=True)
                keywords += [ast.keyword(key.value, value) for key, value in pairs]  # type: ignore[union-attr]
            else:
                keywords.append(keyword)
        node.keywords = keywords
        if isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) == 2:
            owner, name = node.args
            if isinstance(name, ast.Constant):
                return ast.Attribute(owner, str(name.value), ast.Load())
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.body = self.fold_block(node.body)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        node.body = self.fold_block(node.body)
        return node

    def fold_block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Return what is left of the statements of a block."""
        folded: list[ast.stmt] = []
        for statement in statements:
            folded += self.fold_statement(statement)
            if folded and isinstance(folded[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
                break
        return folded

    def fold_statement(self, statement: ast.stmt) -> list[ast.stmt]:
        if isinstance(statement, ast.Assert) or is_refusal(statement):
            return []
        if isinstance(statement, ast.If):
            return self.fold_branches(statement)
        if isinstance(statement, ast.With):
            items = [self.visit(item) for item in statement.items]
            statement.items = [i for i in items if ast.unparse(i) != "contextlib.nullcontext()"]
            statement.body = self.fold_block(statement.body)
            return [statement] if statement.items else statement.body
        if isinstance(statement, ast.For | ast.While):
            for field in ("target", "iter", "test"):
                if hasattr(statement, field):
                    setattr(statement, field, self.visit(getattr(statement, field)))
            statement.body = self.fold_block(statement.body)
            is_idle = isinstance(statement, ast.For) and ast.unparse(statement.iter) in ("[]", "()")
            return [] if is_idle or not statement.body else [statement]
        if isinstance(statement, ast.Assign) and self.take_in(statement):
            return []
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            place = self.source.resolve_node(statement.value.func)
            if isinstance(place, Place) and self.facts.is_empty(place):
                return []
        return [self.visit(statement)]

    def fold_branches(self, statement: ast.If) -> list[ast.stmt]:
        value = self.find_value(statement.test, with_settings=True)
        if value is not UNKNOWN:
            return self.fold_block(statement.body if value else statement.orelse)
        statement.test = self.visit(statement.test)
        statement.body = self.fold_block(statement.body)
        statement.orelse = self.fold_block(statement.orelse)
        if not statement.body and statement.orelse:
            statement.test = ast.UnaryOp(ast.Not(), statement.test)
            statement.body, statement.orelse = statement.orelse, []
        return [statement] if statement.body else []

    def take_in(self, statement: ast.Assign) -> bool:
        """Return whether an assignment gives a constant its name, and so is not needed any more."""
        target, value = statement.targets[0], statement.value
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        if len(statement.targets) > 1 or not all(isinstance(name, ast.Name) for name in names):
            return False
        ids = [name.id for name in names if isinstance(name, ast.Name)]
        if any(self.bindings[name] > 1 or name in self.kept for name in ids):
            return False
        was = ast.unparse(statement.original.value)  # type: ignore[attr-defined]
        found = self.find_value(value) if self.uses_constant(value) else UNKNOWN
        if list_loaded_names(value) & {*PURE}:
            found = self.find_value(value, with_settings=True)
        statement.value = value = self.visit(value)
        if isinstance(value, ast.Constant) and ast.unparse(value) != was:
            found = value.value
        if found is not UNKNOWN and not isinstance(value, ast.BinOp):
            values: list[Any] = [found] if len(ids) == 1 else [*found]  # type: ignore[misc]
            self.local |= dict(zip(ids, values, strict=True))
            self.dropped |= set(ids)
            return True
        return False


def is_refusal(statement: ast.stmt) -> bool:
    """Return whether a statement raises a user's mistake, which a run that has ended never made."""
    return (
        isinstance(statement, ast.Raise)
        and isinstance(statement.exc, ast.Call)
        and ast.unparse(statement.exc.func) == "SpecError"
    )


def drop_unused_names(node: Any) -> Any:
    """Drop assignments of a function to names that nothing reads any more."""
    if not isinstance(node, ast.FunctionDef):
        return node
    while True:
        loaded = list_loaded_names(node)
        before = ast.dump(node)
        Sweeper(loaded).visit(node)
        if ast.dump(node) == before:
            return node


WRITTEN_OUT = (ast.Constant, ast.Dict, ast.List, ast.Tuple)  # what draws nothing


class Sweeper(ast.NodeTransformer):
    """Removes assignments to single names that are not `loaded`.

    One that calls a method stays: a generator that is asked for numbers has others left. A method
    of a literal, as ", ".join, is no such one.
    """

    def __init__(self, loaded: set[str]):
        self.loaded = loaded

    def visit_Assign(self, statement: ast.Assign) -> Any:
        target = statement.targets[0]
        is_single = len(statement.targets) == 1 and isinstance(target, ast.Name)
        if is_single and ast.unparse(target) == ast.unparse(statement.value):
            return None
        calls = [part.func for part in ast.walk(statement.value) if isinstance(part, ast.Call)]
        methods = [function for function in calls if isinstance(function, ast.Attribute)]
        if not is_single or any(not isinstance(m.value, WRITTEN_OUT) for m in methods):
            return statement
        return statement if target.id in self.loaded else None  # type: ignore[attr-defined]
