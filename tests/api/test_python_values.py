"""Python values become overrides that mean the same."""

from pathlib import Path

import numpy as np
import pytest

from cnntrain.api.python_values import collect_overrides, format_axis, format_override
from cnntrain.errors import SpecError
from cnntrain.spec.compose import compose_config
from cnntrain.spec.overrides import parse_override

VALUES = [
    None, True, False, 0, -3, 1e-5, 0.1, float("inf"), "cifar10", "", "1", "1.5", "null", "True",
    "NaN", "a,b", "[1,2]", "~/photos", "größe", "5%", "it's", 'say "no"', "My Photos (2)", "a=b",
    "\\", " x ", "'quoted'", [], [1, 2.5, None], [[24, "50%"], ["a b", True]],
    [{"name": "flip_crop", "p": 0.5}], {"cat": ["a b", "c"]},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_override_has_the_value_that_python_gave(value):
    read = parse_override(format_override("key", value)).value()
    assert read == value
    assert type(read) is type(value) or isinstance(value, str)


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (Path("/tmp/My Photos (2)"), "/tmp/My Photos (2)"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.array([1, 2]), [1, 2]),
        ((96, 96), [96, 96]),
        (range(3), [0, 1, 2]),
    ],
    ids=repr,
)
def test_values_of_libraries_become_plain_ones(value, meant):
    assert parse_override(format_override("key", value)).value() == meant


def test_text_that_looks_like_an_interpolation_is_only_text():
    config = compose_config(collect_overrides([], {"data_dir": "${oc.env:HOME}/x"})).config
    assert config["data_dir"] == "${oc.env:HOME}/x"


def test_words_come_first_and_a_dict_has_the_knobs_of_an_option():
    words = collect_overrides(["optimizer=sgd"], {"optimizer": {"momentum": 0.5}, "epochs": 3})
    assert words == ["optimizer=sgd", "optimizer.momentum=0.5", "epochs=3"]
    config = compose_config(words).config
    assert (config["optimizer"]["name"], config["optimizer"]["momentum"]) == ("sgd", 0.5)


@pytest.mark.parametrize(
    ("words", "settings", "given"),
    [
        ([], {"epochs": object}, "epochs is <class 'object'>, of the type type"),
        ([], {"dataset": {"label_map": {1: "a"}}}, "dataset.label_map has the key 1"),
        ([{"epochs": 1}], {}, "{'epochs': 1} is given as a word"),
        (["-m", "seed=1,2"], {}, "-m is a flag of the command line"),
        (["epochs=3"], {"epochs": 4}, "epochs is given twice"),
    ],
)
def test_what_is_no_setting_is_refused(words, settings, given):
    with pytest.raises(SpecError) as answer:
        collect_overrides(words, settings)
    assert answer.value.given == given


@pytest.mark.parametrize(
    ("words", "settings"), [(["seed=3"], {}), ([], {"seed": 3}), (["seed=0,1"], {})]
)
def test_axis_that_is_also_a_setting_is_refused(words, settings):
    with pytest.raises(SpecError, match="seed is given twice"):
        collect_overrides(words, settings, {"seed": [0, 1]})


@pytest.mark.parametrize("values", [[1, 2], ["a,b", "c"], [[1, 2], [3]], [None, 0.5], range(2)])
def test_axis_has_the_values_of_a_list(values):
    override = parse_override(format_axis("key", values))
    assert override.is_sweep_override()
    texts = [parse_override(f"key={text}").value() for text in override.sweep_string_iterator()]
    assert texts == [*values]


def test_axis_of_one_value_is_a_setting():
    assert format_axis("seed", [3]) == "seed=3"


@pytest.mark.parametrize("values", ["zeros", 3, []])
def test_axis_without_a_list_is_refused(values):
    with pytest.raises(SpecError, match="the axis seed"):
        format_axis("seed", values)
