"""Shards of records hold the photos of the files that they were made of, and TFDS reads them."""

import hashlib
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from cnntrain.cli.main import main
from cnntrain.data.fetch import record_writing
from cnntrain.data.fetch.record_files import MANIFEST, read_records
from cnntrain.data.fingerprint import compute_fingerprint
from cnntrain.data.photos import decoding_processes
from helpers import odd

COUNT = 20  # photos of each class


def run_main(*words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


@pytest.fixture
def photos(tmp_path):
    """Make a folder of two classes, in parts, with two broken files."""
    for part, count in (("train", COUNT), ("test", 6)):
        for label, name in enumerate(("cat", "dög")):
            (tmp_path / "Pet Photos" / part / name).mkdir(parents=True)
            for number in range(count):
                file = tmp_path / "Pet Photos" / part / name / f"{number:03}.jpg"
                file.write_bytes(odd.encoded(odd.picture(1000 * label + number, 40, 30)))
            file.write_bytes(b"nothing" if label else file.read_bytes()[:300])
    return tmp_path / "Pet Photos"


@pytest.fixture
def prepare(photos, tmp_path, monkeypatch, capsys):
    """Return a function that writes the photos into small shards, and returns their folder."""
    monkeypatch.setattr(record_writing, "SHARD_BYTES", 4000)

    def run(*words):
        data = f"data_dir={tmp_path / 'data'}"
        command = ["data", "prepare", "image_folder", f"dataset.folder={photos}", data]
        assert run_main(*command, "--to", "array_record", *words) == 0
        return tmp_path / "data" / "pet_photos_records"

    yield run
    decoding_processes.set_decoding_processes(0)


def load(spec, tmp_path, *words):
    return spec("dataset.image_size=[16,16]", *words).dataset(tmp_path / "data", None)


def test_records_keep_the_groups_of_the_photos(photos, prepare):
    for place, number in ((0, 3), (0, 19), (1, 4)):
        label = ("cat", "dög")[place]
        home = photos / "train" / label / "scène"
        home.mkdir(exist_ok=True)
        (photos / "train" / label / f"{number:03}.jpg").rename(home / f"{number:03}.jpg")
    source = read_records(prepare())
    found = dict(zip(source.names, source.groups["folder"], strict=True))
    assert {name for name, group in found.items() if group} == {
        "train/cat/scène/003.jpg", "train/dög/scène/004.jpg"
    }  # fmt: skip
    assert {*found.values()} == {"", "scène"}


@pytest.mark.parametrize("decoders", [0, 2])
def test_records_have_the_splits_pixels_and_fingerprint_of_the_files(
    spec, photos, prepare, tmp_path, decoders
):
    folder = prepare(f"decoders={decoders}")
    expected = load(spec, tmp_path, "dataset=image_folder", f"dataset.folder={photos}")
    assert len(expected.skipped) == 4
    for scan in ("all", "none"):
        words = ["dataset=records", f"dataset.folder={folder}", f"dataset.scan={scan}"]
        found = load(spec, tmp_path, *words)
        assert compute_fingerprint(found) == compute_fingerprint(expected)
        assert found.class_names == expected.class_names
        assert dict(found.skipped) == dict(expected.skipped)
        for (_, part), (_, other) in zip(found.items(), expected.items(), strict=True):
            assert np.array_equal(part.images, other.images)
            assert np.array_equal(part.labels, other.labels)


def test_a_manifest_has_the_size_and_sha256_of_each_shard(prepare):
    folder = prepare()
    manifest = json.loads((folder / MANIFEST).read_text())
    shards = [shard for own in manifest["parts"].values() for shard in own]
    assert len(shards) > 4
    for shard in shards:
        content = (folder / shard["file"]).read_bytes()
        assert len(content) == shard["bytes"]
        assert hashlib.sha256(content).hexdigest() == shard["sha256"]
    assert not list(folder.glob("*.array_record*.npz"))


def test_tfds_reads_the_same_folder(prepare, photos):
    import tensorflow_datasets as library

    builder = library.builder_from_directory(prepare())
    source = builder.as_data_source(decoders={"image": library.decode.SkipDecoding()})
    assert {part: len(own) for part, own in source.items()} == {"train": 38, "test": 10}
    example = source["train"][3]
    assert example["image"] == (photos / "train" / "cat" / "003.jpg").read_bytes()
    assert builder.info.features["label"].names == ["cat", "dög"]
    assert example["name"].decode() == "train/cat/003.jpg"


def spoil_middle(file):
    content = np.fromfile(file, np.uint8)
    used = np.flatnonzero(content)  # the rest is empty
    content[used[len(used) // 2]] ^= 255
    content.tofile(file)


@pytest.mark.parametrize(
    ("damage", "given"),
    [
        (lambda folder: (folder / MANIFEST).unlink(), "no finished records"),
        (lambda folder: next(folder.glob("*-train*00001*")).unlink(), "is missing"),
        (lambda folder: os.truncate(next(folder.glob("*-train*00001*")), 50), "has 50 bytes"),
        (lambda folder: spoil_middle(next(folder.glob("*-train*00001*"))), "of 48 photos are not"),
    ],
)
def test_unfinished_and_damaged_records_are_refused(prepare, damage, given, capsys):
    folder = prepare()
    damage(folder)
    assert run_main("data", "verify", "records", f"dataset.folder={folder}") == 2
    assert given in capsys.readouterr().err


def test_an_interrupted_preparation_goes_on_and_ends_the_same(photos, prepare, tmp_path):
    whole = prepare("--output", str(tmp_path / "whole"))
    assert not whole.exists()
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    code = (
        "import os, sys\n"
        "from cnntrain.cli.main import main\n"
        "from cnntrain.data.fetch import record_writing\n"
        "record_writing.SHARD_BYTES = 4000\n"
        "plain = record_writing.write_shard\n"
        "record_writing.write_shard = lambda *a: (plain(*a), os.kill(os.getpid(), 9))\n"
        "main(sys.argv[1:])\n"
    )
    words = ["data", "prepare", "image_folder", f"dataset.folder={photos}", "--to", "array_record"]
    line = [sys.executable, "-c", code, *words, "--output", str(cut), "decoders=0"]
    killed = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    known = [file.with_suffix("") for file in cut.glob("pet*.npz")]
    finished = {file.name: file.stat().st_mtime_ns for file in known}
    assert finished
    assert not (cut / MANIFEST).exists()
    prepare("--output", str(cut))
    for name, written in finished.items():
        assert (cut / name).stat().st_mtime_ns == written
    assert not list(cut.glob(".unfinished*"))
    ours, theirs = read_records(cut), read_records(whole)
    assert ours.images.names == theirs.images.names
    assert np.array_equal(ours.labels, theirs.labels)
    assert np.array_equal(ours.digests, theirs.digests)
    for row, digest in enumerate(ours.digests):
        content = ours.images.read(row)
        assert content == theirs.images.read(row)
        assert hashlib.sha256(content).digest() == digest.tobytes()


def test_records_go_where_data_dir_says_and_are_not_written_twice(prepare, tmp_path, capsys):
    folder = prepare("dataset.image_size=[16,16]", "dataset.cache=disk")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [folder.name]
    told = capsys.readouterr().out
    assert f"cnntrain dataset=records dataset.folder={folder} data_dir={tmp_path / 'data'}" in told
    words = ["image_folder", f"dataset.folder={tmp_path / 'Pet Photos'}", "--to", "array_record"]
    assert run_main("data", "prepare", *words, f"data_dir={tmp_path / 'data'}") == 2
    assert "holds records already" in capsys.readouterr().err


def test_a_link_that_leads_nowhere_is_left_out_and_a_file_that_has_gone_ends_it(
    photos, tmp_path, capsys, monkeypatch
):
    (photos / "train" / "cat" / "link.jpg").symlink_to("nowhere.jpg")
    folder = tmp_path / "shards"
    words = ["image_folder", f"dataset.folder={photos}", "--to", "array_record"]
    line = ["data", "prepare", *words, "--output", str(folder), "decoders=0"]
    plan = record_writing.divide_part

    def remove_one(*about):
        (photos / "train" / "cat" / "003.jpg").unlink(missing_ok=True)
        return plan(*about)

    content = (photos / "train" / "cat" / "003.jpg").read_bytes()
    monkeypatch.setattr(record_writing, "divide_part", remove_one)
    assert run_main(*line) == 2
    assert "003.jpg: No such file or directory" in capsys.readouterr().err
    assert not (folder / MANIFEST).exists()
    monkeypatch.undo()
    (photos / "train" / "cat" / "003.jpg").write_bytes(content)
    assert run_main(*line) == 0
    assert "train/cat/link.jpg: No such file or directory" in capsys.readouterr().out
    assert len(read_records(folder).labels) == 48


def test_records_of_other_photos_are_not_mixed(photos, prepare, tmp_path, capsys):
    folder = prepare()
    (folder / MANIFEST).unlink()
    (folder / "notes.txt").write_text("mine")
    words = ["data", "prepare", "image_folder", f"dataset.folder={photos}", "--to", "array_record"]
    assert run_main(*words, "--output", str(folder)) == 2
    assert "does not belong to these records" in capsys.readouterr().err
