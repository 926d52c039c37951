"""Every option in conf/ composes and is valid, and its parameters are counted."""

import ast

import pytest

from cnntrain.spec import option_files
from cnntrain.spec.nested import flatten_mapping
from cnntrain.spec.signatures import (
    GROUPS,
    find_functions,
    list_components,
    locate_component,
    path_of_group,
    read_component_knobs,
    read_shared_knobs,
)
from helpers.model_tables import COUNTS, FIXED, HEAVY, MODELS, SMALLEST, as_list

OPTIONS = sorted(f"{file.parent.name}={file.stem}" for file in option_files.CONF.glob("*/*.yaml"))
# Options with knobs that the user must give.
ELSEWHERE = {
    "dataset=image_folder": ["dataset.folder=."],
    "dataset=records": ["dataset.folder=."],
    "dataset=table": ["dataset.table=labels.csv"],
    "dataset=tfds": ["dataset.tfds=food101"],
    "experiment=mnist_parity_transfer": ["init_from=a_run"],
}


def counted():
    """Return rows of COUNTS to parametrise with; large networks are marked as slow."""
    for key, (total, trainable) in COUNTS.items():
        slow = key[0] in HEAVY or max(total or 0, trainable or 0) > 30_000_000
        yield pytest.param(*key, marks=pytest.mark.slow if slow else ())


def fresh(spec, option):
    """Return the spec of an option with random weights, also if the option has learnt ones."""
    asks = option_files.load_option(option_files.CONF / "model" / f"{option}.yaml").get("weights")
    return spec(f"model={option}", *(["model.weights=null"] if asks else []))


@pytest.mark.parametrize("option", OPTIONS)
def test_option_composes_and_is_valid(spec, option):
    spec(option, *ELSEWHERE.get(option, []))


@pytest.mark.parametrize("option", OPTIONS)
def test_option_says_what_it_is(option):
    group, name = option.split("=")
    assert len(option_files.summarise_options()[group][name]) > 10


@pytest.mark.parametrize("group", GROUPS)
def test_every_component_has_an_option(group):
    used = {
        option_files.load_option(file)["name"]
        for file in (option_files.CONF / group).glob("*.yaml")
    }
    assert used == set(list_components(group))


READ_BY_BOTH = {("dataset", "image_folder"): {"groups"}}  # which says what its folders are


@pytest.mark.parametrize("group", GROUPS)
def test_no_knob_of_a_component_hides_a_knob_of_its_group(group):
    for name in list_components(group):
        common = set(read_component_knobs(group, name)) & set(read_shared_knobs(group))
        assert common == READ_BY_BOTH.get((group, name), set())


@pytest.mark.parametrize("group", GROUPS)
def test_knobs_of_a_group_have_their_values_in_one_place(group):
    assert set(option_files.load_shared_knobs(group)) <= set(read_shared_knobs(group))
    shared = flatten_mapping(option_files.load_shared_knobs(group))
    for file in option_files.find_option_files(group).values():
        stated = flatten_mapping(option_files.load_option(file))
        assert not [key for key in stated if stated[key] == shared.get(key, ...)], file


@pytest.mark.parametrize("group", GROUPS)
def test_every_knob_is_read_by_its_function(group):
    """A knob that only the trainer reads would have to be a setting of the run."""
    root = path_of_group(group)
    files = {root / "__init__.py" if root.is_dir() else root.with_suffix(".py")}
    files |= {locate_component(group, name)[0] for name in list_components(group)}
    for function in (function for file in files for function in find_functions(file).values()):
        nodes = [node for statement in function.body for node in ast.walk(statement)]
        read = {node.id for node in nodes if isinstance(node, ast.Name)}
        knobs = {argument.arg for argument in function.args.kwonlyargs}
        # The base of the learning rate, which is complete before the optimizer gets it, and the
        # factor of biases, with which the step scales what any optimizer does.
        assert knobs - {"learning_rate", "bias_rate"} <= read, function.name


def test_every_model_is_counted():
    assert {option for option, *_ in COUNTS} == set(MODELS), (
        "a file of tests/models/, such as test_mine.py, wants a row: option, image shape, classes,"
        " overrides: total and trainable parameters, as published or counted by hand:\n"
        'COUNTS = {("mine", (32, 32, 3), 10, ()): (577_802, 577_802)}'
    )


@pytest.mark.parametrize(("option", "image_shape", "num_classes", "overrides"), counted())
def test_parameters_are_exact(spec, option, image_shape, num_classes, overrides):
    from cnntrain.training.networks.build import build_empty_network, count_parameters

    model = build_empty_network(spec(f"model={option}", *overrides), image_shape, num_classes)
    found = count_parameters(model)["total"], count_parameters(model)["trainable"]
    expected = COUNTS[option, image_shape, num_classes, overrides]
    assert [f for f, e in zip(found, expected, strict=True) if e] == [e for e in expected if e]
    logits = model.outputs[0]
    assert logits.shape[0] is None
    assert logits.dtype == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("option", MODELS)
def test_model_maps_images_of_the_default_data_set_to_float32_logits(spec, option):
    import numpy as np

    size = SMALLEST.get(option, 32)
    image_shape, classes = FIXED.get(option, ((size, size, 1), 10))
    model = fresh(spec, option).model(image_shape, classes)
    logits = np.asarray(as_list(model(np.zeros((2, *image_shape), "float32")))[0])
    assert logits.shape == (2, classes)
    assert logits.dtype == "float32"


def test_options_with_learnt_weights_are_named_so():
    files = {option: option_files.CONF / "model" / f"{option}.yaml" for option in MODELS}
    asking = {
        option for option, file in files.items() if option_files.load_option(file).get("weights")
    }
    assert asking == {option for option in MODELS if option.endswith("_imagenet")}
