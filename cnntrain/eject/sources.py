"""Our own modules as syntax trees: what each defines and imports, and the values of constants.

Nothing is imported to find out, so that TensorFlow need not load.
"""

import ast
import builtins
import functools
import importlib
import io
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).parents[1]
TEMPLATE = "cnntrain.eject.template."  # how the names of its modules begin
UNKNOWN = object()  # the value of an expression that only a running script knows
# Functions of ours that an expression may call for its value to be known.
PURE = ("count_steps",)
# Modules that an expression may use for its value to be known.
KNOWN_MODULES = ("re", "math", "functools", "dataclasses", "typing", "collections.abc")


class Place(NamedTuple):
    """A name that one of our modules defines."""

    module: str
    name: str


@dataclass(frozen=True)
class Import:
    """A name that comes from a library: `import module as alias`, or `from module import name`."""

    module: str
    name: str | None
    alias: str


@dataclass(frozen=True)
class Source:
    """A module of ours: its lines, its comments by line, and what its top level binds."""

    name: str
    lines: list[str]
    comments: Mapping[int, tuple[int, str]]  # by line: column and text
    tree: ast.Module
    definitions: Mapping[str, ast.stmt]
    imports: Mapping[str, Import]

    def __deepcopy__(self, memo: Any) -> "Source":
        return self  # statements that are copied stay statements of the same module

    def resolve(self, name: str) -> Place | Import | None:
        """Return where a global name of this module is defined; None for a builtin."""
        if name in self.definitions:
            return Place(self.name, name)
        imported = self.imports.get(name)
        if imported is None or not imported.module.startswith("cnntrain"):
            return imported
        if imported.name is None or find_file(f"{imported.module}.{imported.name}"):
            return imported  # a module of ours
        return read_source(imported.module).resolve(imported.name)

    def resolve_node(self, node: ast.AST) -> Place | Import | None:
        """Return where a name, or an attribute of a module of ours, is defined."""
        if isinstance(node, ast.Name):
            return self.resolve(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            base = self.resolve(node.value.id)
            if isinstance(base, Import) and base.module.startswith("cnntrain"):
                return read_source(f"{base.module}.{base.name}").resolve(node.attr)
        return None


def find_file(module: str) -> Path | None:
    """Return the file of one of our modules, or None."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


@functools.cache
def read_source(module: str) -> Source:
    """Return one of our modules, parsed."""
    file = find_file(module)
    assert file is not None, module
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    definitions: dict[str, ast.stmt] = {}
    imports: dict[str, Import] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            definitions[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        definitions[name.id] = node
        elif isinstance(node, ast.Import):
            for item in node.names:
                alias = item.asname or item.name
                imports[alias] = Import(item.name, None, alias)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for item in node.names:
                alias = item.asname or item.name
                imports[alias] = Import(node.module, item.name, alias)
    comments = {
        token.start[0]: (token.start[1], token.string)
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    return Source(module, text.splitlines(), comments, tree, definitions, imports)


def evaluate_expression(node: ast.expr, known: Mapping[str, Any], source: Source) -> Any:
    """Return the value of an expression in `source`, or UNKNOWN.

    `known` has the values of its local names. Constants of our modules are known, too.
    """
    values = {}
    bound = list_bound_names(node)
    for part in ast.walk(node):
        if isinstance(part, ast.Lambda | ast.NamedExpr | ast.Await | ast.Yield):
            return UNKNOWN
        if isinstance(part, ast.Name) and part.id not in bound:
            value = known[part.id] if part.id in known else find_global(source, part.id)
            if value is UNKNOWN:
                return UNKNOWN
            values[part.id] = value
    try:
        code = compile(ast.fix_missing_locations(ast.Expression(node)), source.name, "eval")
        return eval(code, values)
    except Exception:  # of any type: then only the script can tell
        return UNKNOWN


def list_loaded_names(node: ast.AST) -> set[str]:
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Load)}


def list_bound_names(node: ast.AST) -> set[str]:
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name))
    return {name.id for name in names if not isinstance(name.ctx, ast.Load)}


@functools.cache
def find_constant(place: Place) -> Any:
    """Return the value of a constant or a record class of our modules, or UNKNOWN."""
    source = read_source(place.module)
    node = source.definitions[place.name]
    if isinstance(node, ast.FunctionDef):
        is_pure = place.name in PURE
        return getattr(importlib.import_module(place.module), place.name) if is_pure else UNKNOWN
    if isinstance(node, ast.Assign | ast.AnnAssign) and not isinstance(node.value, ast.expr):
        return UNKNOWN
    names = list_loaded_names(node) - {place.name}
    space = {name: find_global(source, name) for name in names}
    if UNKNOWN in space.values():
        return UNKNOWN
    try:
        module = ast.Module([node], type_ignores=[])
        local = dict[str, Any]()
        exec(compile(module, source.name, "exec"), space | {"__name__": __name__}, local)
    except Exception:
        return UNKNOWN
    return local.get(place.name, UNKNOWN)


def find_global(source: Source, name: str) -> Any:
    """Return the value of a global name: a constant of ours, a builtin, or one of a few modules."""
    place = source.resolve(name)
    if isinstance(place, Place):
        return find_constant(place)
    if place is None:
        return getattr(builtins, name, UNKNOWN)
    if place.module in KNOWN_MODULES:
        module = importlib.import_module(place.module)
        return module if place.name is None else getattr(module, place.name)
    return UNKNOWN
