"""Signatures that are read from the source are those that Python has once it has imported it."""

import importlib
import inspect
import typing

import pytest

from cnntrain.spec import signatures
from cnntrain.spec.knobs import NestedComponent, Record

COMPONENTS = [
    (group, name) for group in signatures.GROUPS for name in signatures.list_components(group)
]


def import_component(group, name):
    module = importlib.import_module(f"cnntrain.{signatures.locate_component(group, name)[1]}")
    return module, getattr(module, name)


def keyword_only(function):
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


def has_own_types(annotation):
    """Whether an annotation holds what only the source is read for: records, other components."""
    parts = [annotation, *typing.get_args(annotation)]
    own = [part for part in parts if isinstance(part, Record | NestedComponent)]
    return bool(own) or any(has_own_types(part) for part in parts[1:])


@pytest.mark.parametrize(("group", "name"), COMPONENTS, ids=lambda word: word)
def test_knobs_are_the_keyword_only_parameters_with_the_types_that_python_sees(group, name):
    module, function = import_component(group, name)
    knobs = signatures.read_component_knobs(group, name)
    assert list(knobs) == keyword_only(function)
    hints = typing.get_type_hints(function, include_extras=True)
    for knob, read in knobs.items():
        if function.__annotations__[knob] in ("Variant", getattr(module, "Variant", None)):
            assert read.__args__ == tuple(module.VARIANTS)
        else:
            assert has_own_types(read) or read == hints[knob]


@pytest.mark.parametrize("group", signatures.GROUPS)
def test_knobs_that_a_group_shares_are_those_of_its_own_function(group):
    module = importlib.import_module(f"cnntrain.{signatures.GROUPS[group]}")
    shared = signatures.read_shared_knobs(group)
    assert list(shared) == (keyword_only(getattr(module, group)) if hasattr(module, group) else [])


@pytest.mark.parametrize("option", ["cosine", "resnet_step", "plateau"])
def test_component_as_plain_values_is_the_same_component(spec, option):
    built = spec(f"schedule={option}", "schedule.plateau.patience=3").schedule
    plain = signatures.convert_to_plain(built)
    assert signatures.build_component("schedule", plain) == built
    assert plain["plateau"]["patience"] == 3
