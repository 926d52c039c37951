"""Recipes keep what their files and docs/recipes.md say, on real data, through the command line."""

import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# The least that must come of each, of validation; the files say what it was.
SCRATCH = {"flowers17_alexnet": 0.7, "flowers17_inception": 0.7, "flowers17_resnet": 0.6}
LEARNT = {"flowers17_mobilenet": 0.85, "flowers17_mobilenet_two_phase": 0.9}


def valid(command, tmp_path, archives, recipe, *words):
    places = (f"manual_dir={archives}", f"data_dir={tmp_path / 'data'}", "hydra.run.dir=run")
    done = command(f"experiment={recipe}", *places, *words)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    return report["valid"]["best"]["accuracy"]


@pytest.mark.parametrize("recipe", SCRATCH)
def test_network_learns_flowers_from_scratch(command, tmp_path, archives, recipe):
    assert valid(command, tmp_path, archives, recipe) >= SCRATCH[recipe]


@pytest.mark.parametrize("recipe", LEARNT)
def test_learnt_network_learns_flowers(command, tmp_path, archives, weights_dir, recipe):
    weights = weights_dir / "mobilenet_7_5_224_tf_no_top.weights.h5"
    words = (f"model.weights={weights}",)
    assert valid(command, tmp_path, archives, recipe, *words) >= LEARNT[recipe]
