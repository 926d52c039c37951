"""The cache of decoded photos is never out of date, never half written, and made once."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from cnntrain.data.fingerprint import compute_fingerprint
from cnntrain.data.photos import decode, photo_cache
from cnntrain.errors import SpecError
from cnntrain.files.writing import UNFINISHED_PREFIX
from helpers import odd

COUNT = 70  # photos of each class: two parts of 64, and some


@pytest.fixture
def photos(tmp_path):
    """Make a folder of two classes of photos, with one broken file."""
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(COUNT):
            image = odd.picture(1000 * label + number, 40, 30)
            file = tmp_path / "photos" / name / f"{number:03}.jpg"
            file.write_bytes(odd.encoded(image, quality=90))
    file.write_bytes(file.read_bytes()[:500])
    return tmp_path / "photos"


@pytest.fixture
def splits(spec, photos, tmp_path):
    def load(cache, *overrides, data_dir=tmp_path / "data"):
        words = ["dataset=image_folder", f"dataset.folder={photos}", "dataset.image_size=[16,16]"]
        return spec(*words, f"dataset.cache={cache}", *overrides).dataset(data_dir, None)

    return load


@pytest.fixture
def never_decoded(monkeypatch):
    """Return a function after whose call any decoding fails."""

    def refuse(*arguments):
        raise AssertionError("decoded again")

    return lambda: monkeypatch.setattr(decode, "try_to_decode", refuse)


def kept(tmp_path):
    return sorted(path for path in tmp_path.glob("data/cnntrain_cache/*/*") if path.name != ".lock")


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_pixels_broken_files_and_fingerprint_are_the_same_whatever_the_cache(splits, resize):
    expected = splits("memory", f"dataset.resize={resize}")
    assert [name for name, _ in expected.skipped] == [f"dog/{COUNT - 1:03}.jpg"]
    for cache in ("none", "disk", "auto", "disk", "none"):
        found = splits(cache, f"dataset.resize={resize}")
        assert found.skipped == expected.skipped
        assert compute_fingerprint(found) == compute_fingerprint(expected)
        for (_, part), (_, other) in zip(found.items(), expected.items(), strict=True):
            assert np.array_equal(part.images, other.images)
            assert np.array_equal(part.labels, other.labels)


def test_disk_is_decoded_once_for_each_setting_and_mapped_into_memory(
    splits, tmp_path, never_decoded
):
    first = splits("disk").train.images
    grey = splits("disk", "dataset.channels=1").train.images
    never_decoded()
    again = splits("disk")
    assert isinstance(again.train.store, np.memmap)
    assert np.array_equal(again.train.images, first)
    assert np.array_equal(splits("disk", "dataset.channels=1").train.images, grey)
    assert [path.name for path in kept(tmp_path)] == 2 * ["findings.json", "pixels.npy"]
    with pytest.raises(AssertionError, match="decoded again"):
        splits("disk", "dataset.image_size=[17,16]")


def test_auto_puts_what_is_large_on_disk_and_nothing_else(splits, tmp_path, monkeypatch):
    assert isinstance(splits("auto").train.store, np.ndarray)
    assert not (tmp_path / "cnntrain_cache").exists()
    monkeypatch.setattr(photo_cache, "SMALL_CACHE", 2 * COUNT * 16 * 16 * 3 - 1)
    assert isinstance(splits("auto").train.store, np.memmap)


def test_a_changed_photo_is_decoded_again_even_with_the_same_size_and_time(splits, photos):
    before = splits("disk", "dataset.valid=4", "dataset.test=4")
    file = photos / "cat" / "000.jpg"
    times, content = file.stat(), file.read_bytes()
    middle = len(content) // 2
    other = bytearray(content)
    other[middle : middle + 8] = bytes(8)
    file.write_bytes(other)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = splits("disk", "dataset.valid=4", "dataset.test=4")
    assert file.stat().st_mtime_ns == times.st_mtime_ns
    assert file.stat().st_size == len(content)
    assert not np.array_equal(after.train.store[[0]], before.train.store[[0]])
    assert compute_fingerprint(after) != compute_fingerprint(before)
    file.write_bytes(content)
    assert np.array_equal(splits("disk").train.store[[0]], before.train.store[[0]])


def test_another_broken_file_changes_only_the_message(splits, photos):
    before = splits("memory")
    (photos / "cat" / "notes.txt").write_text("a cat")
    after = splits("memory")
    assert len(after.skipped) == 2
    assert compute_fingerprint(after) == compute_fingerprint(before)


def test_a_photo_that_changes_while_it_is_read_is_not_cached(splits, photos, tmp_path, monkeypatch):
    look = photo_cache.scan_photos

    def change(found):
        known = look(found)
        (photos / "cat" / "007.jpg").write_bytes(odd.encoded(odd.picture(5)))
        return known

    monkeypatch.setattr(photo_cache, "scan_photos", change)
    with pytest.raises(SpecError, match=r"cat/007\.jpg has changed while the photos were read"):
        splits("disk")
    assert kept(tmp_path) == []


# Processes.


PREPARE = (
    "import os, signal, sys\n"
    "import numpy as np\n"
    "from cnntrain.cli.main import main\n"
    "from cnntrain.data.photos import decode, photo_cache\n"
    "{change}\n"
    "main(['data', 'prepare', 'image_folder', *sys.argv[1:]])\n"
)
DIE = "os.kill(os.getpid(), signal.SIGKILL)"
MOMENTS = {
    "while the first photos are decoded": f"decode.stack_photos = lambda *_: {DIE}",
    "after the first photos": "plain, calls = decode.stack_photos, []\n"
    f"decode.stack_photos = lambda *a: {DIE} if calls else (calls.append(0), plain(*a))[1]",
    "while the file goes to the disk": f"os.fsync = lambda _: {DIE}",
    "before the findings are written": f"photo_cache.write_findings = lambda *_: {DIE}",
    "before the file gets its name": "plain = photo_cache.write_findings\n"
    f"photo_cache.write_findings = lambda *a: (plain(*a), {DIE})",
}


def prepare(photos, tmp_path, change="", **options):
    words = [f"dataset.folder={photos}", "dataset.image_size=[16,16]", "dataset.cache=disk"]
    line = [sys.executable, "-c", PREPARE.format(change=change), *words, "data_dir=data", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(line, cwd=tmp_path, **pipes, **options)


@pytest.mark.parametrize("moment", [
    "while the file goes to the disk",
    *(pytest.param(m, marks=pytest.mark.slow) for m in MOMENTS if "goes to the disk" not in m),
])  # fmt: skip
def test_unfinished_files_of_a_killed_process_are_never_used(splits, photos, tmp_path, moment):
    process = prepare(photos, tmp_path, MOMENTS[moment])
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors
    assert any(path.name.startswith(UNFINISHED_PREFIX) for path in kept(tmp_path))
    expected = splits("memory")
    found = splits("disk")
    assert np.array_equal(found.train.images, expected.train.images)
    assert found.skipped == expected.skipped
    assert [path.name for path in kept(tmp_path)] == ["findings.json", "pixels.npy"]


@pytest.mark.slow
def test_one_of_two_processes_decodes_and_the_other_waits(splits, photos, tmp_path):
    slow = (
        "import time\nplain = decode.stack_photos\n"
        "decode.stack_photos = lambda *a: (time.sleep(3), print('decoded', file=sys.stderr), "
        "plain(*a))"
        "[2]"
    )
    both = [prepare(photos, tmp_path, slow) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    told = [errors.count("Another process prepares decoded photos") for _, errors in outputs]
    assert sorted(told) == [0, 1]
    decoded = [errors.count("decoded\n") for _, errors in outputs]
    assert sorted(decoded) == [0, 3]  # parts of 64 of the 140 photos
    sizes = [json.loads(output)["splits"] for output, _ in outputs]
    assert sizes[0] == sizes[1]
    assert np.array_equal(splits("disk").train.images, splits("memory").train.images)


def test_leftovers_of_other_settings_are_cleared_away(splits, tmp_path):
    old = tmp_path / "data" / "cnntrain_cache" / "0123456789abcdef01234567"
    old.mkdir(parents=True)
    (old / "pixels.part").write_bytes(b"half")
    (old / ".unfinished_4711").write_bytes(b"half")
    splits("disk")
    assert [path.name for path in old.iterdir() if path.name != ".lock"] == []


def test_a_truncated_cache_is_made_anew(splits, tmp_path):
    expected = splits("disk").train.images
    findings, pixels = kept(tmp_path)
    os.truncate(pixels, 1000)
    assert np.array_equal(splits("disk").train.images, expected)
    findings.unlink()
    assert splits("disk").skipped


# Disks.


def test_a_disk_that_is_too_small_is_refused_before_decoding(splits, monkeypatch, never_decoded):
    monkeypatch.setattr(photo_cache, "count_free_bytes", lambda folder: 2 * COUNT * 16 * 16 * 3 - 1)
    never_decoded()
    with pytest.raises(SpecError) as refused:
        splits("disk")
    assert "no space left" in str(refused.value)
    assert "dataset.cache=none" in str(refused.value)


def test_auto_keeps_photos_in_memory_if_the_disk_has_no_room(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(photo_cache, "SMALL_CACHE", 0)
    monkeypatch.setattr(photo_cache, "count_free_bytes", lambda folder: 1000)
    assert not isinstance(splits("auto").train.store, np.memmap)


def test_a_disk_that_fills_up_is_reported_and_leaves_no_files(splits, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))  # of 107,520 bytes
    try:
        with pytest.raises(SpecError) as refused:
            splits("disk")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "the decoded photos cannot be written to" in str(refused.value)
    assert "File too large" in str(refused.value)
    assert kept(tmp_path) == []


@pytest.fixture
def read_only():
    """Return a folder that this process, as an ordinary user, may not write to, and its owner."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755 if os.geteuid() == 0 else 0o555)
    yield folder
    if os.getuid() == 0:
        os.seteuid(0)
    shutil.rmtree(folder)


def become_ordinary(folder):
    if os.geteuid() == 0:
        for path in [folder, *folder.parents]:
            if not path.stat().st_mode & 0o005:
                pytest.skip(f"{path} is closed to others")
        os.seteuid(65534)


def test_auto_decodes_into_memory_if_the_folder_is_read_only(read_only, monkeypatch):
    from cnntrain.data.photos.photo import Frame, Photos

    monkeypatch.setattr(photo_cache, "SMALL_CACHE", 0)
    contents = [odd.encoded(odd.picture(number)) for number in range(3)]
    found = Photos(["a", "b", "c"], contents.__getitem__)
    frame, cache = Frame((8, 8), 3, "stretch", None), read_only / "cnntrain_cache"
    become_ordinary(read_only)
    kept_there = {
        how: photo_cache.cache_photos(found, frame, how, cache).images for how in ("auto", "none")
    }
    assert not isinstance(kept_there["auto"], np.memmap)
    rows = np.arange(3)
    assert np.array_equal(kept_there["auto"][rows], kept_there["none"][rows])
    with pytest.raises(SpecError, match="decoded photos cannot be prepared in"):
        photo_cache.cache_photos(found, frame, "disk", cache)


def test_a_ready_cache_is_used_from_a_read_only_folder(read_only, never_decoded):
    from cnntrain.data.photos.photo import Frame, Photos

    if os.geteuid() != 0:
        read_only.chmod(0o755)
    contents = [odd.encoded(odd.picture(number)) for number in range(3)]
    found = Photos(["a", "b", "c"], contents.__getitem__)
    frame, cache = Frame((8, 8), 3, "stretch", None), read_only / "cnntrain_cache"
    expected = np.array(photo_cache.cache_photos(found, frame, "disk", cache).images)
    if os.geteuid() != 0:
        read_only.chmod(0o555)
    become_ordinary(read_only)
    never_decoded()
    assert np.array_equal(photo_cache.cache_photos(found, frame, "disk", cache).images, expected)


# Crops.


def test_random_crops_differ_in_training_and_are_central_elsewhere(splits):
    found = splits("auto", "dataset.resize=random_crop").train
    rows = np.arange(5)
    drawn = [
        found.gather_images(rows, lambda seed=seed: np.random.default_rng(seed))
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    central = splits("memory", "dataset.resize=crop").train.gather_images(rows)
    assert (
        abs(found.gather_images(rows).astype(int) - central).max() <= 2
    )  # decoded only where cropped


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_random_crops_cannot_be_kept(splits, cache):
    with pytest.raises(SpecError, match=r"dataset\.cache=none"):
        splits(cache, "dataset.resize=random_crop")
