"""A table is a data set like others: splits, fingerprint, records, and the commands of data."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from cnntrain.cli.main import main
from cnntrain.data.fingerprint import compute_fingerprint
from cnntrain.data.photos import decoding_processes
from helpers.tables import COLOURS, make_rows, write_photo


def load(spec, folder, *words):
    words = ("dataset=table", f"dataset.table={folder / 'labels.csv'}", *words)
    words = ("dataset.image_size=[16,16]", "dataset.valid=3", *words)
    return spec(*words).dataset(folder / "data", None)


@pytest.fixture
def weighed(read):
    """Write a table with splits, weights and a broken photo."""
    splits = ["train", "train", "train", "val", "test"]
    rows = [[*row, splits[n % 5], n % 4 + 0.5] for n, row in enumerate(make_rows())]
    source = read(rows, ["file", "label", "split", "weight"])
    Path(source.images.read.root, "photos", "6.jpg").write_bytes(b"nothing")
    return np.array([row[3] for row in rows], np.float32)


@pytest.mark.parametrize("scan", ["all", "none"])
def test_splits_have_the_weights_of_their_examples(weighed, spec, folder, scan):
    splits = load(spec, folder, f"dataset.scan={scan}", "dataset.limit=9")
    assert splits.origin["test"] == "the column split"
    for _, part in splits.items():
        numbers = [int(splits.names[row].split("/")[1][:-4]) for row in part.rows]
        assert np.array_equal(part.weights, weighed[numbers])
    merged = splits.merge_valid().train
    parts = [splits.train.weights, splits.valid.weights]
    assert np.array_equal(merged.weights, np.concatenate(parts))
    assert np.array_equal(merged[np.array([3, 0])].weights, merged.weights[[3, 0]])


def test_fingerprint_is_of_labels_and_weights(weighed, spec, folder):
    def fingerprint(*words):
        return compute_fingerprint(load(spec, folder, *words))

    text = (folder / "labels.csv").read_text()
    first, alike = fingerprint(), fingerprint("dataset.weight_column=null")
    assert first != alike
    (folder / "labels.csv").write_text(text.replace("3.5", "3"))
    assert fingerprint() != first
    assert fingerprint("dataset.weight_column=null") == alike
    (folder / "labels.csv").write_text(text.replace("9.jpg,red", "9.jpg,blue"))
    assert fingerprint("dataset.weight_column=null") != alike


def test_a_table_of_a_folder_is_the_same_data_set_as_the_folder(spec, folder, tmp_path):
    for part in ("train", "test"):
        for colour in COLOURS:
            for number in range(6):
                write_photo(tmp_path / "tree" / part / colour / f"{number}.jpg", number)
    expected = spec(
        "dataset=image_folder",
        f"dataset.folder={tmp_path / 'tree'}",
        "dataset.valid=3",
        "dataset.image_size=[16,16]",
    ).dataset(tmp_path, None)
    files = (tmp_path / "tree").rglob("*.jpg")
    rows = [[file.relative_to(tmp_path), *file.parts[-3:-1]] for file in files]
    rows.sort(key=lambda row: (row[1] == "test", row[2], row[0]))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "subset", "target"], *rows])
    found = load(spec, folder, f"dataset.folder={tmp_path}")
    assert compute_fingerprint(found) == compute_fingerprint(expected)
    assert all(
        np.array_equal(part.images, other.images)
        for (_, part), (_, other) in zip(found.items(), expected.items(), strict=True)
    )


def run_main(*words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


def test_records_are_the_same_data_set(weighed, spec, folder, capsys):
    words = [f"dataset.table={folder / 'labels.csv'}", f"data_dir={folder / 'data'}", "decoders=0"]
    assert run_main("data", "prepare", "table", *words, "--to", "array_record") == 0
    decoding_processes.set_decoding_processes(0)
    records = folder / "data" / "labels_records"
    expected = load(spec, folder)
    found = spec(
        "dataset=records",
        f"dataset.folder={records}",
        "dataset.valid=3",
        "dataset.image_size=[16,16]",
    ).dataset(folder / "data", None)
    assert compute_fingerprint(found) == compute_fingerprint(expected)
    assert found.class_names == expected.class_names
    for (_, part), (_, other) in zip(found.items(), expected.items(), strict=True):
        assert np.array_equal(part.weights, other.weights)
        assert np.array_equal(part.images, other.images)
    assert json.loads((records / "records.json").read_text())["format"] == 2
    capsys.readouterr()


def test_verbs_of_data_know_a_table(weighed, folder, answer):
    words = [f"dataset.table={folder / 'labels.csv'}", f"data_dir={folder / 'data'}"]
    done = answer("data", "verify", "table", *words, "--json")
    assert done.returncode == 1  # for the broken one
    said = json.loads(done.stdout)
    assert said["broken"][0]["file"] == "photos/6.jpg"
    assert said["splits"]["test"]["images"] == 6
    done = answer("data", "prepare", "table", *words)
    assert done.returncode == 0, done.stderr
    assert "images weigh from 0.5 to 3.5" in done.stdout
    done = answer("data", "preview", "table", *words, "--output", str(folder / "preview.png"))
    assert done.returncode == 0, done.stderr
    assert "needs table" in answer("data", "list", words[1]).stdout


@pytest.mark.parametrize("verb", ["verify", "preview", "prepare"])
def test_a_table_in_place_of_a_data_set_is_suggested(folder, read, answer, verb):
    read(make_rows())
    done = answer("data", verb, str(folder / "labels.csv"))
    assert done.returncode == 2
    assert f"cnntrain data {verb} table dataset.table={folder}/labels.csv" in done.stderr
