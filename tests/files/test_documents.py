"""YAML and JSON of strangers: bombs raise ValueError before they expand."""

import time

import pytest

from cnntrain.files.documents import parse_json, parse_yaml, read_text

LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join(10 * [f'*a{n - 1}'])}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join(10 * [f'*a{n - 1}'])}]}}\n" for n in range(1, 12)
)
BOMBS = {
    "aliases of aliases": (LAUGHS, "aliases stand for"),
    "merges of merges": (MERGES, "aliases stand for"),
    "itself": ("a: &a [*a]", "contains itself"),
    "depth": ("[" * 20_000, "nested too deep"),
    "depth by dashes": ("- " * 5_000, "nested too deep"),
    "digits": ("a: " + "1" * 300_000, "300,000 digits"),
    "base 60": ("a: " + "1" + ":59" * 300_000, "900,001 digits"),
    "a key twice": ("a: 1\nb: 2\na: 3", "a is there twice"),
    "python": ("!!python/object/apply:os.system ['true']", "line 1: could not determine"),
    "no int": ("!!int ''", "."),
    "no bool": ("!!bool maybe", "maybe"),
    "no time": ("!!timestamp x", "."),
    "no day": ("2001-13-45", "month"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_yaml_that_is_no_plain_data_is_refused_within_a_second(name):
    text, reason = BOMBS[name]
    began = time.process_time()
    with pytest.raises(ValueError, match=reason):
        parse_yaml(text)
    assert time.process_time() - began < 2  # of the processor: one on a slower machine


def test_a_few_aliases_are_read():
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]") == {
        "a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5_000, "{", "", "\0"])
def test_json_that_cannot_be_read_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 (of json, int and ours)
        parse_json(text)


def test_numbers_that_are_not_finite_are_null():
    assert parse_json('[NaN, Infinity, 1e999, {"a": -1e999}, 1.5]') == [
        None, None, None, {"a": None}, 1.5,
    ]  # fmt: skip


def test_file_is_not_read_beyond_its_bound(tmp_path):
    with (tmp_path / "sparse.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        read_text(tmp_path / "sparse.json", 2**20)
