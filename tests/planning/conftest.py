"""What tests of planning share: a machine of little memory."""

import pytest

from cnntrain.data import device_memory


@pytest.fixture
def no_memory(monkeypatch):
    """Let the machine have so many bytes."""

    def have(size):
        monkeypatch.setattr(
            device_memory,
            "read_machine_memory",
            lambda: device_memory.DeviceMemory("machine", size, size, False),
        )

    return have
