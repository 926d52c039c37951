"""The flags of a verb, read from its source.

Importing a verb takes up to two seconds, which is too long for the Tab key. As with the signatures
of components, only what is written down plainly is understood: calls of `add_argument`, in the
verb's `main` and in the functions of this room that it hands its parser, with constants.
"""

import ast
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnntrain.spec.signatures import PACKAGE, find_functions, parse_source


@dataclass(frozen=True)
class Argument:
    """An argument of a verb: a flag with its names, or words without a flag, by their one name."""

    names: tuple[str, ...]
    takes_value: bool
    choices: tuple[str, ...] = ()

    @property
    def is_flag(self) -> bool:
        """Whether it is given by a name that begins with a hyphen."""
        return self.names[0].startswith("-")


@functools.cache
def read_arguments(module: str, function: str) -> tuple[Argument, ...]:
    """Return the arguments that `function` adds to its parser; `module` is like `cli.export`.

    Raises ValueError for one that is not written with constants.
    """
    file = locate_module(f"cnntrain.{module}")
    return tuple(read_statements(find_functions(file)[function].body, file, {}))


def read_statements(
    statements: Sequence[ast.stmt], file: Path, names: Mapping[str, Any]
) -> Iterator[Argument]:
    """Yield the arguments that statements add; `names` holds the variables of loops."""
    for statement in statements:
        if isinstance(statement, ast.For) and "parser.add_argument" in ast.unparse(statement):
            for value in evaluate_constant(statement.iter, file, names):
                known = {**names, ast.unparse(statement.target): value}
                yield from read_statements(statement.body, file, known)
            continue
        makes_parser = isinstance(statement, ast.Assign | ast.AnnAssign) and "parser" in {
            node.id for node in ast.walk(statement) if isinstance(node, ast.Name)
        }
        for call in (node for node in ast.walk(statement) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
                yield read_argument(call, file, names)
            elif isinstance(call.func, ast.Name) and (makes_parser or hands_over_parser(call)):
                yield from read_called_function(call.func.id, file)


def hands_over_parser(call: ast.Call) -> bool:
    return any(isinstance(value, ast.Name) and value.id == "parser" for value in call.args)


def read_called_function(name: str, file: Path) -> Iterator[Argument]:
    """Yield the arguments that a function of this room adds, from `file` or another one."""
    source = file if name in find_functions(file) else find_origin(name, file)
    if source is not None and source.is_relative_to(PACKAGE / "cli"):
        yield from read_statements(find_functions(source)[name].body, source, {})


def read_argument(call: ast.Call, file: Path, names: Mapping[str, Any]) -> Argument:
    """Return the argument that a call of `add_argument` adds."""
    options = {keyword.arg: keyword.value for keyword in call.keywords}
    action = options.get("action")
    choices = evaluate_constant(options["choices"], file, names) if "choices" in options else ()
    return Argument(
        tuple(evaluate_constant(value, file, names) for value in call.args),
        action is None or evaluate_constant(action, file, names) == "append",
        tuple(str(choice) for choice in choices),
    )


def evaluate_constant(node: ast.expr, file: Path, names: Mapping[str, Any]) -> Any:
    """Return the value of an expression: a constant, or some, or the name of one.

    Of a table it is the list of its keys. Raises ValueError for any other expression.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Tuple | ast.List):
        return [evaluate_constant(item, file, names) for item in node.elts]
    if isinstance(node, ast.Dict):
        return [evaluate_constant(key, file, names) for key in node.keys if key is not None]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):  # two tables
        return [item for part in (node.left, node.right)
                for item in evaluate_constant(part, file, names)]  # fmt: skip
    if isinstance(node, ast.JoinedStr):
        return "".join(str(evaluate_constant(part, file, names)) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return evaluate_constant(node.value, file, names)
    if isinstance(node, ast.Name):
        return names[node.id] if node.id in names else read_constant_of_module(node.id, file)
    raise ValueError(f"{file}, line {node.lineno}: {ast.unparse(node)} is no constant")


def read_constant_of_module(name: str, file: Path) -> Any:
    """Return a constant of a module, or of the one of ours that it is imported from."""
    for node in parse_source(file).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if name in map(ast.unparse, targets):
                return evaluate_constant(node.value, file, {})
    source = find_origin(name, file)
    if source is None:
        raise ValueError(f"{file}: {name} is no constant")
    return read_constant_of_module(name, source)


def find_origin(name: str, file: Path) -> Path | None:
    """Return the file of our module that `file` imports a name from, or None."""
    for node in parse_source(file).body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            module = str(node.module)
            return locate_module(module) if module.startswith("cnntrain.") else None
    return None


def locate_module(module: str) -> Path:
    """Return the file of one of our modules, whose name is like `cnntrain.cli.export`."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
