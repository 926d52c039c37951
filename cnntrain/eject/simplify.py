"""Put functions of one expression in the place of their calls, and drop what nothing needs then.

It works on definitions whose names are those of the script, where each stands for one thing.
"""

import ast
import copy
import inspect
from collections import Counter
from typing import Any

from cnntrain.eject.folding import (
    count_bindings,
    drop_unused_names,
    is_docstring,
    list_loaded_names,
)
from cnntrain.eject.sources import is_stored

Definitions = dict[str, Any]  # by the names that they have in the script


def simplify_definitions(definitions: Definitions, root: str) -> None:
    """Simplify the definitions, in place, until nothing changes; those without use go."""
    before = None
    while before != (now := [ast.unparse(node) for node in definitions.values()]):
        before = now
        for name, expression in find_expressions(definitions).items():
            inline_function(definitions, name, expression)
        for name, function in find_bodies(definitions).items():
            splice_function(definitions, name, function)
        for node in definitions.values():
            drop_unused_names(node)
        used = {root} | set().union(*(list_loaded_names(n) for n in definitions.values()))
        for name in [*definitions]:
            if name not in used:
                del definitions[name]


def find_single_calls(definitions: Definitions) -> dict[str, ast.FunctionDef]:
    """Return the functions that are called once, and not passed or decorated."""
    loads = Counter(
        part.id
        for node in definitions.values()
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)
    )
    calls = Counter(
        part.func.id
        for node in definitions.values()
        for part in ast.walk(node)
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)
    )
    return {
        name: node
        for name, node in definitions.items()
        if isinstance(node, ast.FunctionDef)
        and not (node.decorator_list or node.args.kwarg or node.args.vararg)
        and loads[name] == calls[name]
        and (loads[name] == 1 or is_identity(node))
    }


def is_identity(node: ast.FunctionDef) -> bool:
    """Return whether a function returns its only parameter."""
    return [a.arg for a in node.args.args] == [getattr(get_expression(node), "id", None)]


def find_expressions(definitions: Definitions) -> dict[str, ast.FunctionDef]:
    """Return the functions that only return an expression, and are called once."""
    found = find_single_calls(definitions)
    return {name: node for name, node in found.items() if get_expression(node) is not None}


def find_bodies(definitions: Definitions) -> dict[str, ast.FunctionDef]:
    """Return the functions called once that are parts of their caller, and return at their end.

    They have no docstring, or two statements at most, or are an augmentation's `draw`.
    """
    return {
        name: node
        for name, node in find_single_calls(definitions).items()
        if (name.endswith("draw") or not ast.get_docstring(node) or len(node.body) <= 3)
        and get_expression(node) is None
        and isinstance(node.body[-1], ast.Return)
        and sum(isinstance(part, ast.Return) for part in ast.walk(node)) == 1
    }


def splice_function(definitions: Definitions, name: str, function: ast.FunctionDef) -> None:
    """Put the statements of a function in the place of the statement that calls it."""
    for caller in definitions.values():
        if name not in list_loaded_names(caller) or caller is function:
            continue
        for block in list_blocks(caller):
            for number, statement in enumerate(block):
                calls = find_calls(statement, name)
                if isinstance(statement, ast.Return | ast.Assign) and calls:
                    spliced = make_statements(caller, statement, calls[0], function)
                    if spliced is not None:
                        block[number : number + 1] = spliced
                        return


def find_calls(statement: Any, name: str) -> list[ast.Call]:
    return [
        part
        for part in ast.walk(statement)
        if isinstance(part, ast.Call) and ast.unparse(part.func) == name
    ]


def list_blocks(node: ast.AST) -> list[list[Any]]:
    return [
        getattr(part, field)
        for part in ast.walk(node)
        for field in ("body", "orelse", "finalbody")
        if isinstance(getattr(part, field, None), list)
    ]


def make_statements(
    caller: ast.AST, statement: Any, call: ast.Call, function: ast.FunctionDef
) -> list[ast.stmt] | None:
    """Return a function's body with the arguments of its call, and behind it what called it.

    Returns None if names would clash.
    """
    values = bind_arguments(call, function)
    if values is None or not all(map(is_cheap, values.values())):
        return None
    own = count_bindings(function)
    targets = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and is_stored(n)}
    taken = {*count_bindings(caller), *list_loaded_names(caller)} - targets
    passed = {name for name, value in values.items() if getattr(value, "id", None) == name}
    if any(name in taken and name not in passed for name in own if name not in values):
        return None
    if any(own[name] > 1 and name not in passed for name in values):
        return None
    body = [
        Substituter(values).visit(copy.deepcopy(part))
        for part in function.body
        if not is_docstring(part)
    ]
    result = body.pop().value
    statement = replace_node(statement, call, result)
    body += [statement] if isinstance(statement, ast.Return) else split_assignment(statement)
    if (text := describe_function(function)) and not hasattr(body[0], "note"):
        body[0].note = text
    return body


def replace_node(statement: Any, old: ast.expr, new: ast.expr) -> Any:
    class Exchange(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> Any:
            return new if node is old else self.generic_visit(node)

    return Exchange().visit(statement)


def split_assignment(statement: ast.Assign) -> list[ast.stmt]:
    """Return an assignment of several values without those that are assigned to themselves."""
    target, value = statement.targets[0], statement.value
    if not (isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)):
        return [] if ast.unparse(target) == ast.unparse(value) else [statement]
    made: list[ast.stmt] = []
    for own, part in zip(target.elts, value.elts, strict=True):
        if ast.unparse(own) != ast.unparse(part):
            new = ast.Assign([own], part)
            new.original, new.source = statement.original, statement.source  # type: ignore[attr-defined]
            made.append(ast.fix_missing_locations(new))
    return made


def bind_arguments(call: ast.Call, function: ast.FunctionDef) -> dict[str, ast.expr] | None:
    """Return the arguments of a call by parameter, or None if some have defaults."""
    names = [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]
    values = dict(zip(names, call.args, strict=False))
    values |= {k.arg: k.value for k in call.keywords if k.arg}
    return values if {*values} == {*names} else None


def is_cheap(node: ast.expr) -> bool:
    """Return whether an expression may be computed twice."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "len"
    return isinstance(node, ast.Name | ast.Attribute | ast.Constant)


def get_expression(node: Any) -> ast.expr | None:
    """Return what a function returns if it does nothing else, or None."""
    if not isinstance(node, ast.FunctionDef):
        return None
    body = [part for part in node.body if not is_docstring(part)]
    if len(body) == 1 and isinstance(body[0], ast.Return):
        return body[0].value
    return None


def inline_function(definitions: Definitions, name: str, function: ast.FunctionDef) -> None:
    """Replace the call of a function by its expression, if that reads as well."""
    for caller in definitions.values():
        if name in list_loaded_names(caller) and caller is not function:
            Replacer(name, function).visit(caller)


class Replacer(ast.NodeTransformer):
    """Replaces the calls of one function, and notes its docstring at the statement."""

    def __init__(self, name: str, function: ast.FunctionDef):
        self.name, self.function = name, function
        self.has_replaced = False

    def generic_visit(self, node: ast.AST) -> ast.AST:
        result = super().generic_visit(node)
        if self.has_replaced and isinstance(node, ast.stmt):
            self.has_replaced = False
            if not hasattr(node, "body") and (text := describe_function(self.function)):
                node.note = text  # type: ignore[attr-defined]
        return result

    def visit_Call(self, node: ast.Call) -> Any:
        node = super().generic_visit(node)  # type: ignore[assignment]
        if not (isinstance(node.func, ast.Name) and node.func.id == self.name):
            return node
        values = bind_arguments(node, self.function)
        expression = get_expression(self.function)
        used = Counter(n.id for n in ast.walk(expression) if isinstance(n, ast.Name))  # type: ignore[arg-type]
        if values is None or any(
            is_endpoint(v) or (used[n] > 1 and not is_cheap(v)) for n, v in values.items()
        ):
            return node
        self.has_replaced = True
        return Substituter(values).visit(copy.deepcopy(expression))  # type: ignore[arg-type]


class Substituter(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.expr]):
        self.values = values

    def visit_Name(self, node: ast.Name) -> Any:
        return copy.deepcopy(self.values.get(node.id, node))


def is_endpoint(node: ast.expr) -> bool:
    """Return whether an argument is 0 or 1, which in place of a name would explain nothing."""
    return isinstance(node, ast.Constant) and node.value in (0, 1)


def describe_function(function: ast.FunctionDef) -> str:
    """Return the first sentence of a docstring as a comment on what is computed."""
    text = inspect.cleandoc(ast.get_docstring(function) or "").partition("\n")[0]
    if not text.startswith(("Return ", "Draw ")) or is_identity(function):
        return ""
    text = text.removeprefix("Return ").removeprefix("the ").removeprefix("a ")
    return f"# {text[0].upper()}{text[1:]}"
