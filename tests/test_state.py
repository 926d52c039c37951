"""The state file: what was written comes back, and a torn one is never used."""

import numpy as np
import pytest

from cnntrain import state

ARRAYS = {"network/0/a": np.arange(6, dtype=np.float32).reshape(2, 3), "seed": np.array([1, 2])}


def test_state_comes_back_exactly(tmp_path):
    state.save(tmp_path, ARRAYS, {"step": 3, "best": None, "loss": 0.1})
    loaded = state.load(tmp_path)
    assert loaded.facts == {"step": 3, "best": None, "loss": 0.1}
    for name, array in ARRAYS.items():
        assert np.array_equal(loaded.arrays[name], array)
        assert loaded.arrays[name].dtype == array.dtype


def test_no_state_is_none(tmp_path):
    assert state.load(tmp_path / "nothing") is None


@pytest.mark.parametrize("where", [0, 70, 500, -1])
def test_flipped_byte_is_noticed_and_the_previous_state_used(tmp_path, where):
    state.save(tmp_path, ARRAYS, {"step": 1})
    state.save(tmp_path, ARRAYS, {"step": 2})
    content = bytearray((tmp_path / state.LAST).read_bytes())
    content[where] ^= 1
    (tmp_path / state.LAST).write_bytes(content)
    loaded = state.load(tmp_path)
    assert (loaded.facts["step"], loaded.damaged) == (1, (state.LAST,))


@pytest.mark.parametrize("length", [0, 10, 65, 400])
def test_truncated_state_is_noticed(tmp_path, length):
    state.save(tmp_path, ARRAYS, {"step": 1})
    state.save(tmp_path, ARRAYS, {"step": 2})
    (tmp_path / state.LAST).write_bytes((tmp_path / state.LAST).read_bytes()[:length])
    assert state.load(tmp_path).facts["step"] == 1


def test_with_no_whole_state_nothing_is_made_up(tmp_path):
    state.save(tmp_path, ARRAYS, {"step": 1})
    (tmp_path / state.LAST).write_bytes(b"torn")
    loaded = state.load(tmp_path)
    assert not loaded.arrays
    assert loaded.damaged == (state.LAST,)


def test_full_disk_leaves_the_states_as_they_were(tmp_path, monkeypatch):
    state.save(tmp_path, ARRAYS, {"step": 1})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        state.save(tmp_path, ARRAYS, {"step": 2})
    assert state.load(tmp_path).facts["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [state.LAST]
