"""How many wrong labels the doctor names, on real photos where one in twenty was made wrong."""

import json

import numpy as np
import pytest

from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config

NOISE = "dataset.label_noise=0.05"
SETS = {"flowers17": "dataset.test=17", "cats_vs_dogs_small": "dataset.valid=0"}


def load_train_labels(*words):
    return build_provisional_spec(compose_config(words).config).load_splits().train.labels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least_precision", "least_recall"),
    [("flowers17", 0.7, 0.75), ("cats_vs_dogs_small", 0.8, 0.85)],
)
def test_most_wrong_labels_of_real_photos_are_named(
    train, verb, archives, weights_dir, tmp_path, name, least_precision, least_recall
):
    """Heads of a frozen MobileNet, each trained on half of the photos with wrong labels of its own.

    An image is judged by those that were not trained on it.
    """
    places = [f"manual_dir={archives}", f"data_dir={tmp_path / 'data'}"]
    weights = weights_dir / "mobilenet_7_5_224_tf_no_top.weights.h5"
    runs = [
        train(
            "model=mobilenet", "model.alpha=0.75", f"model.weights={weights}", "finetune=head",
            f"dataset={name}", "dataset.image_size=[224,224]", "batch_size=32", "epochs=15", NOISE,
            "dataset.valid=0.5", f"dataset.split_seed={seed}", *places, name=f"run{seed}",
        )[0]
        for seed in range(4)
    ]  # fmt: skip
    own = [SETS[name], "dataset.valid=0", *places]
    code, out, err = verb(
        "data", "verify", name, *own, NOISE, "--json",
        *(word for run in runs for word in ("--run", run.folder)),
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    clean, noisy = (load_train_labels(f"dataset={name}", *own, *more) for more in ([], [NOISE]))
    wrong = set(np.flatnonzero(clean != noisy).tolist())
    rows = [row for row in found["wrong_labels"] if row["split"] == "train"]
    named = {row["index"] for row in rows}
    right_class = [
        row["suggested"] == found["class_names"][clean[row["index"]]]
        for row in rows
        if row["index"] in wrong
    ]
    precision, recall = len(named & wrong) / len(named), len(named & wrong) / len(wrong)
    print(
        f"{name}: {len(wrong)} of {len(clean)} labels wrong, {len(named)} named: precision "
        f"{precision:.3f}, recall {recall:.3f}; {sum(right_class)} with the right class; "
        f"{found['labels_checked']['trained_on']} images trained on by all; "
        f"estimate {found['labels_checked']['estimated_wrong_held_out']}"
    )
    assert precision >= least_precision
    assert recall >= least_recall
