"""`data verify --run`: labels that networks doubt, and which images they were trained on."""

import json

import numpy as np
import pytest

from cnntrain.spec.build import build_provisional_spec
from cnntrain.spec.compose import compose_config
from helpers.tiny import write_photos
from helpers.trained_runs import WORDS

DIGITS = ("digits", "dataset.limit=300")


@pytest.fixture(scope="session")
def other_digits(training):
    return training(*WORDS, "dataset.split_seed=1")


@pytest.fixture
def check(verb):
    """Verify digits by runs: check(RUN, "dataset.label_noise=0.1") -> the JSON."""

    def do(*runs, words=()):
        flags = [word for run in runs for word in ("--run", run.folder)]
        code, out, err = verb("data", "verify", *DIGITS, *words, *flags, "--json")
        assert code == 0, err
        return json.loads(out)

    return do


def load_train_labels(*words):
    config = compose_config(["dataset=digits", *DIGITS[1:], *words]).config
    return build_provisional_spec(config).load_splits().train.labels


def test_images_that_the_run_was_trained_on_are_marked(check, digits):
    found = check(digits)
    checked = found["labels_checked"]
    assert (checked["images"], checked["trained_on"]) == (744, 300)
    assert checked["estimated_wrong_held_out"] is not None
    assert {row["split"] for row in found["wrong_labels"] if row["trained_on"]} <= {"train"}
    assert {row["split"] for row in found["wrong_labels"] if not row["trained_on"]} <= {
        "valid",
        "test",
    }


def test_a_run_of_another_split_judges_what_the_first_was_trained_on(check, digits, other_digits):
    found = check(digits, other_digits)
    assert 0 < found["labels_checked"]["trained_on"] < 150
    assert found["labels_checked"]["notes"] == []


def test_wrong_labels_are_found_among_the_given_ones(check, digits):
    noise = "dataset.label_noise=0.1"
    found = check(digits, words=[noise])
    wrong = set(np.flatnonzero(load_train_labels() != load_train_labels(noise)).tolist())
    named = {row["index"] for row in found["wrong_labels"] if row["split"] == "train"}
    assert len(wrong) == 30
    assert len(named & wrong) >= 27  # the network has learnt the right labels
    assert len(named - wrong) <= 3
    surest = found["wrong_labels"][0]
    assert surest["suggested_probability"] > 0.9 > surest["given_probability"]


def test_lines_say_what_is_probably_wrong(verb, digits):
    noise = "dataset.label_noise=0.1"
    code, out, _ = verb("data", "verify", *DIGITS, noise, "--run", digits.folder)
    assert code == 0
    assert "300 of 744 images were trained on by every run" in out
    assert "labels are probably wrong:\n  train image " in out
    assert ": rather " in out


def test_a_run_with_other_classes_is_refused(refusal, digits):
    words = ("data", "verify", "digits", "dataset.classes=[1,2]", "--run", digits.folder)
    assert "the classes are not those of" in refusal(*words).given


def test_a_folder_that_is_no_run_is_refused(refusal, tmp_path):
    assert "--run" not in refusal("data", "verify", "digits", "--run", tmp_path).given


def test_a_run_is_judged_by_its_own_table_where_another_one_is_verified(answer, tmp_path):
    """Whose paths are relative to another folder; only one that has gone is sought there."""
    write_photos(tmp_path / "photos", 20)
    rows = [f"{name}/{n:02}.png,{name}" for n in range(20) for name in ("cat", "dog")]
    (tmp_path / "own.csv").write_text("\n".join(["file,label", *rows]))
    (tmp_path / "photos" / "labels.csv").write_text("\n".join(["file,label", *rows]))
    own = ("dataset.table=own.csv", "dataset.folder=photos")
    size = "dataset.image_size=[16,16]"
    words = ("dataset=table", *own, size, "model=lenet5", "epochs=1", "hydra.run.dir=run")
    assert answer(*words).returncode == 0
    verify = ("data", "verify", "table", "dataset.table=photos/labels.csv", "--run", "run")
    checked = answer(*verify, "--json")
    assert checked.returncode == 0, checked.stderr
    found = json.loads(checked.stdout)["labels_checked"]
    assert found["notes"] == []
    (tmp_path / "own.csv").unlink()
    moved = answer(*verify, "--json")
    assert moved.returncode == 0, moved.stderr
    assert json.loads(moved.stdout)["labels_checked"] == found
