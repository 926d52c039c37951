"""Slices of TFDS are read, or refused, before TFDS and TensorFlow are loaded."""

import pytest

from cnntrain.errors import SpecError
from cnntrain.spec.slices import Slice, parse_slices


def test_sum_of_slices_is_read():
    assert parse_slices("train[:10%] + my-split", "key") == [
        Slice("train[:10%]", "train", None, "10%"), Slice("my-split", "my-split", None, None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "train[", "train[:]", "train[5]", "train[10:20%]", "train[:120%]", "train[:1.5]", "a+"],
)
def test_what_is_no_slice_is_refused_as_it_is_asked_for(spec, text):
    with pytest.raises(SpecError) as answer:
        spec("dataset=mnist", f"dataset.slices.valid='{text}'")
    assert answer.value.given == f"dataset.slices.valid is {text}"
    assert "train[:10%]" in answer.value.hint


def test_slice_needs_no_quotes_but_those_of_the_shell_and_changes_no_hash_if_not_given(spec):
    sliced = spec("dataset=mnist", "dataset.slices.valid=train[:10%]+test[5:7]")
    assert sliced.dataset["slices"]["valid"] == "train[:10%]+test[5:7]"
    deciding = [key for key in spec("dataset=mnist").deciding_values if "slices" in key]
    assert deciding == []
    assert sliced.deciding_values["dataset.slices.valid"] == "train[:10%]+test[5:7]"
