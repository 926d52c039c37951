"""The script that whoever has a GPU runs: its commands are ones that cnntrain understands."""

import importlib.util
import sys
from pathlib import Path

import pytest

from cnntrain.spec.build import build_spec
from cnntrain.spec.compose import compose_config

SCRIPT = Path(__file__).parent.parent / "scripts" / "gpu_check.py"


@pytest.fixture
def script(monkeypatch):
    description = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    module = importlib.util.module_from_spec(description)
    monkeypatch.setitem(sys.modules, "gpu_check", module)
    description.loader.exec_module(module)
    return module


@pytest.mark.parametrize("scale", ["FULL", "TINY"])
def test_commands_of_the_gpu_check_are_valid(script, tmp_path, scale):
    check = script.Check(getattr(script, scale), tmp_path)
    for network, batch_size in check.scale.batches.items():
        command = check.make_command(network, "run", ["pipeline=host", "checkpoint.every_steps=9"])
        spec = build_spec(compose_config(command[3:]).config)
        assert (spec.batch_size, spec.pipeline) == (batch_size, "host")


def test_images_of_noise_are_those_of_ten_classes(script, tmp_path):
    script.write_images(tmp_path, 100)
    assert len(list(tmp_path.glob("train/class?/*.png"))) == 100
    assert len(list(tmp_path.glob("valid/*/*.png"))) == 10
