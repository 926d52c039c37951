"""The memory of GPUs, machines and containers, and what does not fit in it."""

import os
import stat

import pytest

from cnntrain.data import device_memory
from cnntrain.data.device_memory import IMAGES_SHARE, WEIGHTS_SHARE, check_memory
from cnntrain.errors import SpecError

GIB = 2**30
CARD = "NVIDIA H200, 143771, 143167"


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


def test_a_container_has_what_its_limit_leaves(tmp_path):
    (tmp_path / "memory.max").write_text(f"{2 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {GIB // 2}\n")
    found = device_memory.read_machine_memory(tmp_path)
    assert (found.name, found.total) == ("container", 2 * GIB)
    assert found.free <= 1.5 * GIB
    (tmp_path / "memory.max").write_text("max\n")
    assert device_memory.read_machine_memory(tmp_path).name == "machine"


def nvidia_smi(folder, answer):
    """Put an nvidia-smi into the folder that prints the given answer."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def test_gpus_are_read_off_their_driver(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", nvidia_smi(tmp_path, f"echo '{CARD}'")["PATH"])
    (found,) = device_memory.query_gpus()
    assert found.name == "NVIDIA H200"
    assert found.total == 143771 * 2**20
    nvidia_smi(tmp_path, "echo 'No devices were found'; exit 6")
    assert device_memory.query_gpus() == []
