"""The one convention: a component is a function, found by its name, described by its signature.

Positional parameters come from the run, keyword-only parameters are the knobs and come from YAML.
A function named like its group wraps all its components: it is called with the component as its
first argument, and its keyword-only parameters are the knobs that every option of the group has.
Signatures are read from the source, so that a wrong knob is reported without importing Keras.
"""

import ast
import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from cnntrain.errors import SpecError, find_nearest, format_choices
from cnntrain.spec.knobs import (
    VOCABULARY,
    NestedComponent,
    Record,
    convert_all,
    format_setting,
    format_value,
)

# The module, or the package with a module for each component, that serves each group.
GROUPS = {
    "model": "models",
    "dataset": "data.datasets",
    "augmentation": "data.augmentations",
    "optimizer": "training.optimizers",
    "schedule": "training.schedules",
    "initializer": "training.initializers",
    "finetune": "training.finetune",
    "distribution": "training.devices.distribution",
    "tracking": "running.trackers",
}
PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Component:
    """A function chosen by name, with its knobs checked; calling it supplies the run's values."""

    group: str
    name: str
    knobs: Mapping[str, Any]
    shared: Mapping[str, Any]

    def __call__(self, *run_values: Any) -> Any:
        """Import the function and call it, by way of its group's own function if there is one."""
        group = importlib.import_module(f"cnntrain.{GROUPS[self.group]}")
        if not hasattr(group, self.group):
            return self.bound_function(*run_values)
        shared = build_records(self.shared, group)
        return getattr(group, self.group)(self.bound_function, *run_values, **shared)

    @property
    def bound_function(self) -> Any:
        """The imported function with its own knobs bound."""
        module = importlib.import_module(f"cnntrain.{locate_component(self.group, self.name)[1]}")
        return functools.partial(getattr(module, self.name), **build_records(self.knobs, module))

    def __getitem__(self, knob: str) -> Any:
        return self.knobs[knob] if knob in self.knobs else self.shared[knob]


def build_records(knobs: Mapping[str, Any], module: Any) -> dict[str, Any]:
    """Return the knobs with each record as an instance of the class of `module` named like it."""
    return {
        knob: getattr(module, knob.title().replace("_", ""))(**value)
        if isinstance(value, MappingProxyType)  # a dict of names is no record
        else value
        for knob, value in knobs.items()
    }


def build_component(group: str, config: Mapping[str, Any], where: str | None = None) -> Component:
    """Return the component that `config`, its name and knobs, describes.

    `where` is the dotted key of `config`, unless that is the group. Raises SpecError for an unknown
    name and for a wrong knob.
    """
    where, values = where or group, dict(config)
    name = values.pop("name", None)
    if name not in list_components(group):
        close = find_nearest(name, list_components(group)) if name else None
        raise SpecError(
            f"{where}.name is {format_value(name)}",
            format_choices(list_components(group), str(name)),
            format_setting(f"{where}.name", close) if close else None,
        )
    own, shared = read_component_knobs(group, name), read_shared_knobs(group)
    converted = convert_all(values, shared | own, where)
    return Component(
        group,
        name,
        MappingProxyType({knob: converted[knob] for knob in own}),
        MappingProxyType({knob: converted[knob] for knob in shared}),
    )


def convert_to_plain(value: Any) -> Any:
    """Return a component, or the value of a knob, as the plain values of YAML."""
    if isinstance(value, Component):
        return {
            "name": value.name,
            **convert_to_plain(value.knobs),
            **convert_to_plain(value.shared),
        }
    if isinstance(value, Mapping):
        return {key: convert_to_plain(part) for key, part in value.items()}
    return [convert_to_plain(part) for part in value] if isinstance(value, tuple) else value


def path_of_group(group: str) -> Path:
    """Return the folder of a group's package, or its module without the suffix."""
    return PACKAGE.joinpath(*GROUPS[group].split("."))


def list_components(group: str) -> list[str]:
    """Return the names of a group's components, sorted."""
    root = path_of_group(group)
    if root.is_dir():
        return sorted(file.stem for file in root.glob("*.py") if file.stem in find_functions(file))
    module = root.with_suffix(".py")
    return sorted(
        name for name in find_functions(module) if name != group and not name.startswith("_")
    )


def read_component_knobs(group: str, name: str) -> dict[str, Any]:
    """Return the knobs of one component: name -> annotation."""
    return read_function_knobs(locate_component(group, name)[0], name)


def read_shared_knobs(group: str) -> dict[str, Any]:
    """Return the knobs that every option of a group has: name -> annotation."""
    root = path_of_group(group)
    module = root / "__init__.py" if root.is_dir() else root.with_suffix(".py")
    return read_function_knobs(module, group) if group in find_functions(module) else {}


def locate_component(group: str, name: str) -> tuple[Path, str]:
    """Return the file of a component, and its module relative to the package `cnntrain`."""
    root = path_of_group(group)
    if root.is_dir():
        return root / f"{name}.py", f"{GROUPS[group]}.{name}"
    return root.with_suffix(".py"), GROUPS[group]


def find_companion(component: Component, function: str) -> Any:
    """Return a further function of a component's module with the component's knobs bound.

    Returns None if the module, which is not imported to find out, has no such function.
    """
    file, module = locate_component(component.group, component.name)
    if function not in find_functions(file):
        return None
    imported = importlib.import_module(f"cnntrain.{module}")
    return functools.partial(
        getattr(imported, function), **build_records(component.knobs, imported)
    )


@functools.cache
def parse_source(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def find_functions(file: Path) -> dict[str, ast.FunctionDef]:
    """Return the top-level functions of a module by name."""
    return {
        node.name: node for node in parse_source(file).body if isinstance(node, ast.FunctionDef)
    }


def read_function_knobs(file: Path, function: str) -> dict[str, Any]:
    """Return the keyword-only parameters of a function in `file`: name -> annotation."""
    known = collect_vocabulary(file)
    return {
        argument.arg: evaluate_annotation(argument.annotation, known)
        for argument in find_functions(file)[function].args.kwonlyargs
    }


def collect_vocabulary(file: Path) -> dict[str, Any]:
    """Return the names that annotations in `file` may use.

    They are the vocabulary of knobs, the file's own records and `Variant`, and the
    kinds of nested components.
    """
    known = VOCABULARY | {
        group.title(): NestedComponent(group, build_component)
        for group in ("augmentation", "schedule")
    }
    for node in parse_source(file).body:
        if isinstance(node, ast.ClassDef):
            fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
            if fields and all(is_known_annotation(field.annotation, known) for field in fields):
                known[node.name] = Record(
                    node.name,
                    {
                        ast.unparse(f.target): evaluate_annotation(f.annotation, known)
                        for f in fields
                    },
                )
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VARIANTS":
            assert isinstance(node.value, ast.Dict)
            choices = tuple(ast.literal_eval(key) for key in node.value.keys if key)
            known["Variant"] = Literal[choices]
    return known


def is_known_annotation(annotation: ast.expr, known: Mapping[str, Any]) -> bool:
    used = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    return used <= set(known) | {"list", "tuple", "dict", "None"}


def evaluate_annotation(annotation: ast.expr | None, known: Mapping[str, Any]) -> Any:
    """Return the typing object of an annotation in our own source."""
    assert annotation is not None
    code = compile(ast.Expression(annotation), "<annotation>", "eval")
    return eval(code, {"__builtins__": {"list": list, "tuple": tuple, "dict": dict}}, dict(known))
