"""`cnntrain data clean` lists and removes decoded photos, and nothing else."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from cnntrain.cli.main import main
from cnntrain.data.photos.cache_folder import (
    CACHE_FOLDER,
    list_caches,
    open_cached_pixels,
    parse_byte_size,
    shrink_caches,
)
from cnntrain.errors import SpecError


@pytest.fixture
def data_dir(tmp_path):
    """Make three caches of decoded photos of 1, 2 and 3 kB; the third was used longest ago."""
    for number in (1, 2, 3):
        folder = home(tmp_path, number)
        folder.mkdir(parents=True)
        np.save(folder / "pixels.npy", np.full((number, 1000, 1, 1), number, np.uint8))
        (folder / "broken.json").write_text("{}")
        (folder / ".lock").touch()
        for file in folder.iterdir():
            os.utime(file, (10**9 - number, 10**9 - number))
    return tmp_path


def home(data_dir, number):
    return data_dir / CACHE_FOLDER / (str(number) * 24)


def answer(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(["data", *words])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_all_caches_are_listed_and_removed(data_dir, capsys):
    listed = answer(capsys, "list", f"data_dir={data_dir}")
    assert (
        f"3 sets of decoded photos, 6.2 KiB in {data_dir / CACHE_FOLDER}; cnntrain data clean"
        in listed
    )
    found = json.loads(answer(capsys, "list", f"data_dir={data_dir}", "--json"))["decoded"]
    assert (found["sets"], found["bytes"]) == (3, 6 * 1000 + 3 * 130)
    assert "Removed 3 sets" in answer(capsys, "clean", f"data_dir={data_dir}")
    assert list((data_dir / CACHE_FOLDER).iterdir()) == []
    assert "decoded photos" not in answer(capsys, "list", f"data_dir={data_dir}")


@pytest.mark.parametrize(
    ("keep", "left"), [("6.4k", [1, 2, 3]), ("5k", [1, 2]), ("2.5kB", [1]), ("1", [])]
)
def test_caches_beyond_a_limit_are_removed_oldest_first(data_dir, capsys, keep, left):
    found = json.loads(answer(capsys, "clean", f"data_dir={data_dir}", "--keep", keep, "--json"))
    assert (found["removed"]["sets"], found["kept"]["sets"]) == (3 - len(left), len(left))
    assert [number for number in (1, 2, 3) if home(data_dir, number).exists()] == left


def test_using_a_cache_makes_it_the_most_recent(data_dir):
    pixels = open_cached_pixels(home(data_dir, 3))
    assert pixels.shape == (3, 1000, 1, 1)
    assert (pixels == 3).all()
    assert list_caches(data_dir)[0].folder == home(data_dir, 3)


USING = (
    "import sys, pathlib\n"
    "from cnntrain.data.photos.cache_folder import open_cached_pixels\n"
    "pixels = open_cached_pixels(pathlib.Path(sys.argv[1]))\n"
    "print('using', flush=True)\n"
    "sys.stdin.read()\n"
)


def test_cache_in_use_by_another_process_is_kept(data_dir):
    line = [sys.executable, "-c", USING, str(home(data_dir, 2))]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"using\n"
        removed, kept, busy = shrink_caches(data_dir, 0)
        assert [one.folder for one in kept] == [one.folder for one in busy] == [home(data_dir, 2)]
        assert len(removed) == 2
        process.stdin.close()
    assert len(shrink_caches(data_dir, 0)[0]) == 1


def test_other_folders_are_not_touched(data_dir):
    others = [
        data_dir / "mnist" / "3.0.1" / "data",
        data_dir / CACHE_FOLDER / "mine" / "pixels.npy",
        home(data_dir, 4) / "precious.txt",
        home(data_dir, 5) / "folder" / "pixels.npy",
        data_dir / CACHE_FOLDER / "notes.txt",
    ]
    for file in others:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("precious")
    (home(data_dir, 6)).symlink_to(data_dir / "mnist")
    shrink_caches(data_dir, 0)
    assert all(file.read_text() == "precious" for file in others)
    assert home(data_dir, 6).is_symlink()


@pytest.mark.parametrize(
    ("text", "size"),
    [("5GiB", 5 * 2**30), ("1.5G", 3 * 2**29), ("500 MB", 500 * 10**6), ("0", 0), ("7", 7),
     ("2kib", 2048)],
)  # fmt: skip
def test_sizes_are_parsed_as_people_write_them(text, size):
    assert parse_byte_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-5GiB", "5 apples", "1e9"])
def test_text_that_is_no_size_is_refused(text):
    with pytest.raises(SpecError, match="--keep is"):
        parse_byte_size(text)


def test_run_caches_its_photos_and_reuses_them(data_dir, spec):
    from PIL import Image

    for number in range(24):
        folder = data_dir / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (9 * number, 0, 0)).save(folder / f"{number}.png")
    asked = spec("dataset=image_folder", f"dataset.folder={data_dir}/photos", "dataset.cache=disk")
    splits = asked.dataset(data_dir, None)
    own = next(one.folder for one in list_caches(data_dir))
    assert str(splits.train.store.filename) == str(own / "pixels.npy")
    assert own in [one.folder for one in shrink_caches(data_dir, 0)[2]]
