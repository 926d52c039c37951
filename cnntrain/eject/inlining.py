"""Take the definitions that a run reaches out of our modules, each specialised for the run.

A parameter that has the same constant in every call is folded into its function, and leaves its
signature and the calls. What the calls pass is found by going through the functions until nothing
changes.
"""

import ast
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cnntrain.eject.folding import (
    Facts,
    count_bindings,
    drop_unused_names,
    fold_definition,
    is_literal,
)
from cnntrain.eject.sources import (
    UNKNOWN,
    Import,
    Place,
    evaluate_expression,
    list_loaded_names,
    read_source,
)
from cnntrain.spec import knobs

VARYING = object()  # the value of a parameter that has several
# What the annotations of knobs are in a script.
PLAIN_TYPES = {bool: "bool", int: "int", float: "float", str: "str"}


class Fold(NamedTuple):
    """A definition, and the constants that were folded into it."""

    module: str
    name: str
    constants: str


@dataclass
class Inliner:
    """The definitions that are reached from a root, and what their parameters are.

    `components` gives the function and the knobs that stand for each name of `components.py`.
    """

    root: Place
    settings: Mapping[str, Any]
    components: Mapping[str, tuple[Place, Mapping[str, Any]]]
    conditions: Mapping[str, Mapping[str, Any]]  # what functions of a module know in conditions
    substitutes: Mapping[Place, Place]  # what a plainer form stands for
    folded: dict[Place, ast.stmt] = field(default_factory=dict)  # in the order they are reached
    parameters: dict[Place, dict[str, Any]] = field(default_factory=dict)
    unread: dict[Place, set[str]] = field(default_factory=dict)  # parameters
    needed: dict[Place, set[str]] = field(default_factory=dict)  # parameters given unseen
    empty: dict[Place, bool] = field(default_factory=dict)
    known_folds: dict[Fold, ast.stmt] = field(default_factory=dict)

    def run(self) -> None:
        """Fold everything that the root reaches, until nothing changes any more."""
        before = None
        while before != (now := repr((self.parameters, self.unread, [*self.folded]))):
            before = now
            self.folded.clear()
            self.reach(self.root)

    def reach(self, place: Place) -> None:
        """Fold a definition, then what it refers to, in the order in which that stands in it."""
        source = read_source(place.module)
        facts = Facts({**self.settings, **self.conditions.get(place.module, {})}, self.is_empty)
        node, constants = source.definitions[place.name], self.get_constants(place)
        key = Fold(place.module, place.name, repr(constants))
        if key not in self.known_folds:
            self.known_folds[key] = fold_definition(node, source, constants, facts)
        self.folded[place] = copy_folded(self.known_folds[key])
        for reference, target in self.find_references(place):
            self.note_call(place, reference, target)
        self.drop_arguments(place)
        drop_unused_names(self.folded[place])
        if isinstance(node, ast.FunctionDef):
            loaded = list_loaded_names(self.folded[place])
            self.unread[place] = {name for name in list_parameters(node) if name not in loaded}
        for _, target in self.find_references(place):
            if target not in self.folded:
                self.reach(target)

    def is_empty(self, place: Place) -> bool:
        """Return whether nothing is left of a function but its docstring."""
        if place not in self.empty:
            self.empty[place] = self.find_out_whether_empty(place)
        return self.empty[place]

    def find_out_whether_empty(self, place: Place) -> bool:
        target, _ = self.resolve_component(place)
        node = read_source(target.module).definitions[target.name]
        if not isinstance(node, ast.FunctionDef):
            return False
        if node.name.startswith("check_") and ast.unparse(node.returns or node) == "None":
            return True  # it refuses what a run that has ended did not have
        facts = Facts(self.settings, lambda _: False)
        folded = fold_definition(node, read_source(target.module), {}, facts)
        return not [part for part in folded.body if not isinstance(part, ast.Expr | ast.Pass)]

    def resolve_component(self, place: Place) -> tuple[Place, Mapping[str, Any]]:
        if place.module.endswith("eject.components"):
            return self.components[place.name]
        return self.substitutes.get(place, place), {}

    def find_references(self, place: Place) -> Iterator[tuple[ast.AST, Place]]:
        """Yield what a folded definition refers to: calls, or bare names, with their targets."""
        source, node = read_source(place.module), self.folded[place]
        local = list_local_names(node)
        called = set[int]()
        for part in walk_in_order(node):
            if isinstance(part, ast.Call):
                function = part.args[0] if is_partial(part) else part.func
                target = source.resolve_node(function)
                name = function.id if isinstance(function, ast.Name) else None
                if isinstance(target, Place) and name not in local:
                    called.add(id(function))
                    yield part, self.resolve_component(target)[0]
            elif isinstance(part, ast.Name | ast.Attribute) and id(part) not in called:
                if isinstance(part, ast.Name) and (part.id in local or is_own_target(part, node)):
                    continue
                target = source.resolve_node(part)
                if isinstance(target, Place) and target.module != "cnntrain.spec.knobs":
                    yield part, self.resolve_component(target)[0]
                elif isinstance(target, Place) and find_plain_type(target) is None:
                    yield part, target

    def note_call(self, caller: Place, node: ast.AST, target: Place) -> None:
        """Take in what a call passes to the parameters of its target."""
        definition = read_source(target.module).definitions[target.name]
        if not isinstance(definition, ast.FunctionDef) or target == caller:
            return
        names = list_parameters(definition)
        found = self.parameters.setdefault(target, {})
        given = dict.fromkeys(names, VARYING)
        if isinstance(node, ast.Call):
            passed = self.read_arguments(caller, node, definition)
            given |= {name: value for name, value in passed.items() if name in names}
        needed = self.needed.setdefault(target, set())
        if not isinstance(node, ast.Call) or has_open_arguments(node):
            needed |= {*names}
        elif is_partial(node):
            needed |= {*names} - {k.arg for k in node.keywords} - {*names[: len(node.args) - 1]}
        for _, (function, own) in self.components.items():
            if function == target:
                given |= {name: own[name] for name in names if name in own}
        for name, value in given.items():
            if name not in found:
                found[name] = value
            elif found[name] is VARYING or repr(found[name]) != repr(value):
                found[name] = VARYING

    def read_arguments(
        self, caller: Place, node: ast.Call, definition: ast.FunctionDef
    ) -> dict[str, Any]:
        """Return the constants that a call passes, by parameter; defaults where it passes none."""
        arguments = definition.args
        positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
        passed = node.args[1:] if is_partial(node) else node.args
        if has_open_arguments(node):
            return {}
        values: dict[str, ast.expr] = {}
        if not is_partial(node):
            defaults = arguments.defaults
            names = positional[len(positional) - len(defaults) :]
            values |= dict(zip(names, defaults, strict=True))
            values |= {
                a.arg: d
                for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
                if d is not None
            }
        values |= dict(zip(positional, passed, strict=False))
        values |= {str(k.arg): k.value for k in node.keywords}
        result = {}
        for name, value in values.items():
            if isinstance(value, ast.Constant | ast.List | ast.Tuple | ast.Dict):
                constant = evaluate_expression(value, {}, read_source(caller.module))
                result[name] = constant if is_constant(constant) else VARYING
        return result

    def get_constants(self, place: Place) -> dict[str, Any]:
        """Return the parameters of a function that are the same in every call."""
        found = self.parameters.get(place, {})
        tested = self.list_tested_names(place)
        return {
            name: value
            for name, value in found.items()
            if value is not VARYING
            and (name in tested or not is_number(value) or self.is_knob(place, name))
        }

    def is_knob(self, place: Place, name: str) -> bool:
        return any(function == place and name in own for function, own in self.components.values())

    def list_tested_names(self, place: Place) -> set[str]:
        """Return the names that the conditions of a function read."""
        definition = read_source(place.module).definitions[place.name]
        conditions = [n.test for n in ast.walk(definition) if isinstance(n, ast.If | ast.IfExp)]
        return {name for test in conditions for name in list_loaded_names(test)}

    def list_gone(self, place: Place) -> set[str]:
        """Return the parameters that a function has lost: constants, and what it never reads."""
        unread = self.unread.get(place, set()) - self.needed.get(place, set())
        return unread | {*self.get_constants(place)}

    def drop_arguments(self, place: Place) -> None:
        """Take the constants out of the signature of a function, and out of the calls in it."""
        node = self.folded[place]
        if isinstance(node, ast.FunctionDef):
            drop_parameters(node, self.list_gone(place))
        for call, target in list(self.find_references(place)):
            definition = read_source(target.module).definitions[target.name]
            if not (isinstance(call, ast.Call) and isinstance(definition, ast.FunctionDef)):
                continue
            gone = self.list_gone(target)
            positional = [a.arg for a in (*definition.args.posonlyargs, *definition.args.args)]
            offset = int(is_partial(call))
            call.args = [
                value
                for number, value in enumerate(call.args)
                if number < offset or positional[number - offset] not in gone
            ]
            call.keywords = [k for k in call.keywords if k.arg not in gone]


def copy_folded(node: ast.stmt) -> ast.stmt:
    """Return a copy of a folded definition, whose statements keep their originals."""
    originals = {id(part.original): part.original for part in ast.walk(node)
                 if hasattr(part, "original")}  # fmt: skip
    return copy.deepcopy(node, originals)


def is_constant(value: Any) -> bool:
    return value is not UNKNOWN and is_literal(value)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_partial(call: ast.Call) -> bool:
    return ast.unparse(call.func) in ("partial", "functools.partial") and bool(call.args)


def has_open_arguments(call: ast.Call) -> bool:
    """Return whether a call passes what only a running script knows, by `*` or `**`."""
    is_starred = any(isinstance(part, ast.Starred) for part in call.args)
    return is_starred or any(keyword.arg is None for keyword in call.keywords)


def is_own_target(name: ast.Name, node: ast.stmt) -> bool:
    """Return whether a name is what a definition itself defines."""
    return not isinstance(name.ctx, ast.Load) or name.id == getattr(node, "name", None)


def list_parameters(definition: ast.FunctionDef) -> list[str]:
    arguments = definition.args
    return [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def list_local_names(node: Any) -> set[str]:
    """Return the names that a definition binds within itself, which hide those of its module."""
    is_constant = isinstance(node, ast.Assign | ast.AnnAssign)
    return {*count_bindings(node.value if is_constant else node)}


def walk_in_order(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and what is in it, in the order of the source."""
    yield node
    for child in ast.iter_child_nodes(node):
        yield from walk_in_order(child)


def drop_parameters(node: ast.FunctionDef, gone: set[str]) -> None:
    arguments = node.args
    padded = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults
    pairs = zip(arguments.args, padded, strict=True)
    left = [(argument, default) for argument, default in pairs if argument.arg not in gone]
    arguments.args = [argument for argument, _ in left]
    arguments.defaults = [default for _, default in left if default is not None]
    keyed = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    kept = [(argument, default) for argument, default in keyed if argument.arg not in gone]
    arguments.kwonlyargs = [argument for argument, _ in kept]
    arguments.kw_defaults = [default for _, default in kept]


def find_plain_type(place: Place) -> str | None:
    """Return the type that an annotation of a knob stands for, or None if it is none."""
    annotation = knobs.VOCABULARY.get(place.name) if place.module == knobs.__name__ else None
    plain = getattr(annotation, "__origin__", None)
    if plain in PLAIN_TYPES:
        return PLAIN_TYPES[plain]
    return str(plain) if plain is not None else None


def find_import(place: Place, name: str) -> Import | None:
    """Return the import of a library by which a definition knows a name."""
    found = read_source(place.module).resolve(name)
    return found if isinstance(found, Import) and not is_ours(found.module) else None


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "cnntrain"
