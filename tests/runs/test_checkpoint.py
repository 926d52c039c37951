"""The checkpoint file comes back exactly as saved, and a damaged one is never used."""

import hashlib
import io
import os

import numpy as np
import pytest

from cnntrain.runs import checkpoint

ARRAYS = {"network/0/a": np.arange(6, dtype=np.float32).reshape(2, 3), "seed": np.array([1, 2])}


def test_checkpoint_comes_back_exactly(tmp_path):
    checkpoint.save_checkpoint(tmp_path, ARRAYS, {"step": 3, "best": None, "loss": 0.1})
    loaded = checkpoint.load_checkpoint(tmp_path)
    assert loaded.facts == {"step": 3, "best": None, "loss": 0.1}
    for name, array in ARRAYS.items():
        assert np.array_equal(loaded.arrays[name], array)
        assert loaded.arrays[name].dtype == array.dtype


def test_missing_checkpoint_is_none(tmp_path):
    assert checkpoint.load_checkpoint(tmp_path / "nothing") is None


@pytest.mark.parametrize("where", [0, 70, 500, -1])
def test_flipped_byte_is_noticed_and_the_previous_checkpoint_used(tmp_path, where):
    checkpoint.save_checkpoint(tmp_path, ARRAYS, {"step": 1})
    checkpoint.save_checkpoint(tmp_path, ARRAYS, {"step": 2})
    content = bytearray((tmp_path / checkpoint.LAST).read_bytes())
    content[where] ^= 1
    (tmp_path / checkpoint.LAST).write_bytes(content)
    loaded = checkpoint.load_checkpoint(tmp_path)
    assert (loaded.facts["step"], loaded.damaged_files) == (1, (checkpoint.LAST,))


@pytest.mark.parametrize("length", [0, 10, 65, 400])
def test_truncated_checkpoint_is_noticed(tmp_path, length):
    checkpoint.save_checkpoint(tmp_path, ARRAYS, {"step": 1})
    checkpoint.save_checkpoint(tmp_path, ARRAYS, {"step": 2})
    (tmp_path / checkpoint.LAST).write_bytes((tmp_path / checkpoint.LAST).read_bytes()[:length])
    assert checkpoint.load_checkpoint(tmp_path).facts["step"] == 1


def test_without_a_whole_checkpoint_only_damaged_files_are_named(tmp_path):
    checkpoint.save_checkpoint(tmp_path, ARRAYS, {"step": 1})
    (tmp_path / checkpoint.LAST).write_bytes(b"torn")
    loaded = checkpoint.load_checkpoint(tmp_path)
    assert not loaded.arrays
    assert loaded.damaged_files == (checkpoint.LAST,)


def test_full_disk_leaves_the_checkpoints_as_they_were(tmp_path, monkeypatch):
    checkpoint.save_checkpoint(tmp_path, ARRAYS, {"step": 1})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save_checkpoint(tmp_path, ARRAYS, {"step": 2})
    assert checkpoint.load_checkpoint(tmp_path).facts["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.LAST]


def test_checkpoint_of_an_earlier_version_still_loads(tmp_path):
    """Earlier versions wrote the npz first, and read it again for its sha256."""
    payload = io.BytesIO()
    np.savez(payload, names='["a", "b"]', facts='{"step": 7}', array0=np.arange(3), array1=2.5)
    digest = hashlib.sha256(payload.getvalue()).hexdigest().encode()
    (tmp_path / checkpoint.LAST).write_bytes(digest + b"\n" + payload.getvalue())
    loaded = checkpoint.load_checkpoint(tmp_path)
    assert (loaded.facts, loaded.damaged_files) == ({"step": 7}, ())
    assert loaded.arrays["a"].tolist() == [0, 1, 2]


def test_arrays_of_any_kind_come_back(tmp_path):
    arrays = {
        "scalar": np.float32(0.5),
        "none": np.zeros((0, 3), np.float16),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "strided": np.arange(10)[::2],
        "large": np.arange(2_500_000.0),  # more than a chunk of 16 MiB
    }
    checkpoint.save_checkpoint(tmp_path, arrays, {})
    loaded = checkpoint.load_checkpoint(tmp_path)
    assert loaded.damaged_files == ()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array, strict=True)


def test_tables_are_on_disk_before_the_checkpoint_is(tmp_path, monkeypatch):
    (tmp_path / "steps.csv").write_text("step\n1\n")
    flushed, fsync = [], os.fsync

    def record(number):
        flushed.append(os.fstat(number).st_ino)
        fsync(number)

    monkeypatch.setattr(os, "fsync", record)
    tables = [tmp_path / "history.csv", tmp_path / "steps.csv"]  # the first has no row yet
    checkpoint.save_checkpoint(tmp_path / "state", ARRAYS, {"step": 1}, tables)
    last = tmp_path / "state" / checkpoint.LAST
    inodes = [path.stat().st_ino for path in (tables[1], last)]
    assert [flushed.index(inode) for inode in inodes] == [0, 1]
