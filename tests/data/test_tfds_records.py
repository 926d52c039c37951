"""Photos of TFDS that do not fit in memory: the same data set, by way of records."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as library

from cnntrain.data.fetch import tfds_read
from cnntrain.data.fingerprint import compute_fingerprint
from helpers.tiny import photo, photos_of, written

features = library.features
KINDS = {"image": features.Image(), "label": features.ClassLabel(num_classes=5)}
SLICES = (
    "dataset.slices.train=train[25%:]", "dataset.slices.valid=train[10%:25%]",
    "dataset.slices.test=train[:10%]",
)  # fmt: skip


@pytest.fixture
def load(spec, tmp_path, monkeypatch):
    """Return a function that loads the splits of a data set, from memory or from records."""

    def load_splits(*words, fits):
        monkeypatch.setattr(tfds_read, "fits_memory", lambda *_: fits)
        line = ("dataset=tfds", "dataset.tfds=big", "dataset.image_size=[8,8]", *words)
        return spec(*line).dataset(tmp_path, None)

    return load_splits


def assert_same(found, expected):
    assert compute_fingerprint(found) == compute_fingerprint(expected)
    assert found.origin == expected.origin
    for (_, part), (_, other) in zip(found.items(), expected.items(), strict=True):
        assert np.array_equal(part.labels, other.labels)
        assert np.array_equal(part.images, other.images)
        names, others = ([splits.names[row] for row in own.rows]
                         for splits, own in ((found, part), (expected, other)))  # fmt: skip
        assert names == others


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("words", [(), SLICES])
def test_photos_are_the_same_from_records(load, tmp_path, named, words):
    more = {"file_name": lambda n, _: f"{n * 7 % 200:03}.jpg"} if named else {}
    rows = list(photos_of(200, 5, **more))
    rows[31]["image"] = io.BytesIO(photo(3)[:200])
    kinds = KINDS | ({"file_name": features.Text()} if named else {})
    written(tmp_path, "big", "1.0.0", kinds, {"train": rows})
    expected = load(*words, fits=True)
    for _ in range(2):  # the second time they are there
        found = load(*words, fits=False)
        assert_same(found, expected)
        assert dict(found.skipped) == dict(expected.skipped)


def test_records_of_one_run_have_what_another_needs(load, tmp_path):
    kinds = KINDS | {"coarse": features.ClassLabel(num_classes=2)}
    rows = list(photos_of(100, 5, coarse=lambda n, _: n // 3 % 2))
    written(tmp_path, "big", "1.0.0", kinds, {"train": rows[:80], "test": rows[80:]})
    first = ("dataset.label_key=label", "dataset.slices.train=train[50%:]",
             "dataset.slices.test=train[:50%]", "dataset.valid=5")  # fmt: skip
    load(*first, fits=False)  # without the split test, and with other labels
    for words in (("dataset.label_key=label",), ("dataset.label_key=coarse",)):
        assert_same(load(*words, fits=False), load(*words, fits=True))


@pytest.mark.slow
def test_of_two_processes_one_writes_and_the_other_waits(tmp_path):
    written(tmp_path, "big", "1.0.0", KINDS, {"train": list(photos_of(60, 5))})
    code = (
        "import sys\n"
        "from cnntrain.cli.main import main\n"
        "from cnntrain.data.fetch import tfds_read\n"
        "tfds_read.fits_memory = lambda *_: False\n"
        "main(sys.argv[1:])\n"
    )
    words = ["data", "prepare", "tfds", "dataset.tfds=big", "dataset.image_size=[8,8]", "--json"]
    line = [sys.executable, "-c", code, *words, f"data_dir={tmp_path}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(line, cwd=tmp_path, **pipes) for _ in range(2)]
    told = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert json.loads(told[0][0])["splits"] == json.loads(told[1][0])["splits"]
