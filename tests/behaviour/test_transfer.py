"""Transfer learning on real data, through the real command line."""

import json

import pytest

pytestmark = pytest.mark.slow

PARITY = (
    "model=mlp_300_100", "dataset=mnist", "dataset.valid=5000", "optimizer=sgd",
    "optimizer.momentum=0", "optimizer.learning_rate=1e-3", "schedule=constant", "batch_size=32",
    "epochs=10", "initializer.head_gain=1", "normalisation=rescale", "log_every=500",
)  # fmt: skip


def report(done, run):
    assert done.returncode == 0, done.stderr
    return json.loads((run / "report.json").read_text())


def test_ten_digits_teach_odd_and_even(command, tmp_path, archives):
    places = (f"manual_dir={archives}", f"data_dir={tmp_path / 'data'}")
    assert command(*PARITY, *places, "hydra.run.dir=base").returncode == 0
    words = (*PARITY, *places, "dataset.label_map=odd_even", "init_from=base")
    head = report(command(*words, "finetune=head", "hydra.run.dir=head"), tmp_path / "head")
    assert head["parameters"]["trainable"] == 202
    assert head["valid"]["final"]["accuracy"] == pytest.approx(0.893, abs=0.02)
    more = ("finetune=two_phase", "finetune.head_epochs=1", "finetune.learning_rate=1e-3")
    all_layers = ("optimizer=adam", "epochs=4", "schedule=cosine", "hydra.run.dir=all")
    words = [word for word in words if not word.startswith(("optimizer", "epochs", "schedule"))]
    done = command(*words, *more, *all_layers)
    assert report(done, tmp_path / "all")["valid"]["final"]["accuracy"] >= 0.97


def test_frozen_mobilenet_tells_cats_from_dogs(command, tmp_path, archives):
    weights = archives.parent / "weights" / "mobilenet_7_5_224_tf_no_top.weights.h5"
    if not weights.exists():
        pytest.skip(f"no {weights}")
    done = command(
        "model=mobilenet", "model.alpha=0.75", f"model.weights={weights}", "finetune=head",
        "dataset=cats_vs_dogs_small", f"manual_dir={archives}", f"data_dir={tmp_path / 'data'}",
        "dataset.image_size=[224,224]", "batch_size=32", "epochs=15", "hydra.run.dir=run",
    )  # fmt: skip
    found = report(done, tmp_path / "run")
    assert found["test"]["best"]["accuracy"] >= 0.9
    assert found["seconds"]["total"] < 300
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"]["sizes"]["test"] == 200
