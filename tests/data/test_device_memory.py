"""What does not fit in memory is refused before it is made."""

import pytest

from cnntrain.data import device_memory
from cnntrain.data.device_memory import IMAGES_SHARE, WEIGHTS_SHARE, check_memory
from cnntrain.errors import SpecError


@pytest.mark.parametrize(
    ("share", "most", "limit"),
    [
        (IMAGES_SHARE, 819, "819 bytes of the 2 KiB that are free"),
        (WEIGHTS_SHARE, 4096, "4 KiB of the 4 KiB that this machine has"),
    ],
)
def test_what_takes_more_than_its_share_is_refused(monkeypatch, share, most, limit):
    machine = device_memory.DeviceMemory("machine", 4096, 2048, False)
    monkeypatch.setattr(device_memory, "read_machine_memory", lambda: machine)
    check_memory("they", most, share, "less")
    with pytest.raises(SpecError) as refused:
        check_memory("they", 2 * most, share, "less", "none")
    assert limit in refused.value.given
    assert (refused.value.expected, refused.value.hint) == ("less", "none")
