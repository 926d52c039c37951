"""Splits are official or stratified, seeded, and never overlap."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cnntrain.data.labels import select_classes
from cnntrain.data.sampling import sample_rows, split_stratified
from cnntrain.data.source import Source
from cnntrain.data.splits import split_source
from cnntrain.errors import SpecError


@pytest.fixture
def splits(spec, tmp_path):
    return lambda *overrides: spec(*overrides).dataset(tmp_path, None)


def contents(examples):
    return [image.tobytes() for image in examples.images]


def test_digits_are_scikit_learns_and_cut_in_three(splits):
    digits = splits()
    assert [len(part) for _, part in digits.items()] == [1294, 144, 359]
    assert digits.image_shape == (32, 32, 1)
    assert digits.class_names == tuple("0123456789")
    assert "split_seed=0" in digits.origin["test"]


def test_splits_share_no_image_but_the_doubles_of_the_source(splits):
    digits = splits()
    sets = [set(contents(part)) for _, part in digits.items()]
    assert len(set.union(*sets)) == sum(len(s) for s in sets)


def test_every_class_is_in_every_split_in_proportion(splits):
    digits = splits()
    whole = np.bincount(np.concatenate([part.labels for _, part in digits.items()]))
    for _, part in digits.items():
        expected = whole * len(part) / whole.sum()
        assert abs(np.bincount(part.labels) - expected).max() <= 1


def test_split_seed_decides_the_cut_and_the_runs_seed_does_not(splits):
    base = contents(splits().test)
    assert contents(splits("seed=5").test) == base
    assert contents(splits("dataset.split_seed=1").test) != base


def test_the_first_images_become_test_and_valid(splits):
    digits = splits("dataset.cut=first", "dataset.test=0.2", "dataset.valid=100")
    assert [part.rows[[0, -1]].tolist() for _, part in digits.items()] == [
        [459, 1796], [359, 458], [0, 358]
    ]  # fmt: skip
    assert digits.origin["valid"] == "cut from train, its first 100 images"


def test_without_validation_all_images_but_those_of_test_train(splits):
    usual, whole = splits(), splits("dataset.valid=0")
    assert [(name, len(part)) for name, part in whole.items()] == [("train", 1438), ("test", 359)]
    assert contents(whole.test) == contents(usual.test)
    assert {*contents(whole.train)} == {*contents(usual.train), *contents(usual.valid)}
    assert whole.origin["train"] == "all that is left"
    assert "valid" not in whole.origin


def test_official_validation_images_train_without_validation():
    parts = {"train": np.arange(6), "valid": np.arange(6, 8), "test": np.arange(8, 10)}
    source = Source(np.empty((10, 0)), np.arange(10) % 2, ("a", "b"), parts)
    rows, origin = split_source(source, 0, 0.1, "stratified", 0)
    assert {name: part.tolist() for name, part in rows.items()} == {
        "train": [*range(8)], "test": [8, 9]
    }  # fmt: skip
    assert origin == {"train": "official, joined by the valid part", "test": "official"}
    same = replace(source, parts=dict.fromkeys(parts, np.arange(10)))  # one part as all three
    assert len(split_source(same, 0, 0.1, "stratified", 0)[0]["train"]) == 10


def test_first_images_of_photos_that_are_sorted_by_class_are_refused():
    source = Source(np.empty((40, 0)), np.repeat([0, 1], 20), ("a", "b"), {"train": np.arange(40)})
    with pytest.raises(SpecError, match="first 4 images, which are for test, have 1 of 2") as error:
        split_source(source, 0.1, 0.1, "first", 0)
    assert error.value.hint == "dataset.cut=stratified"


def test_limit_keeps_the_proportions(splits):
    limited = splits("dataset.limit=50")
    assert all(len(part) == 50 for _, part in limited.items())
    assert all(np.bincount(part.labels).min() >= 4 for _, part in limited.items())


@pytest.mark.parametrize("limit", [140, 355, 1290])
def test_limit_may_be_just_below_the_size_of_a_split(splits, limit):
    sizes = [len(part) for _, part in splits(f"dataset.limit={limit}").items()]
    assert sizes == [min(limit, 1294), min(limit, 144), min(limit, 359)]


def test_sixteen_bit_grey_keeps_its_shades(tmp_path):
    from cnntrain.data.photos.photo import Frame, decode_photo

    pixels = np.tile(np.linspace(0, 65535, 16).astype(np.uint16), (16, 1))
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    frame = Frame((16, 16), 1, "stretch", None)
    grey = decode_photo((tmp_path / "deep.png").read_bytes(), frame).pixels
    assert np.allclose(grey[0, :, 0], np.linspace(0, 255, 16), atol=1)


def test_fraction_keeps_that_share_of_the_training_images_alone(splits):
    few, whole = splits("dataset.fraction=0.25"), splits()
    assert len(few.train) == round(0.25 * len(whole.train))
    assert contents(few.test) == contents(whole.test)
    assert contents(few.valid) == contents(whole.valid)
    assert set(contents(few.train)) <= set(contents(whole.train))
    proportions = np.bincount(few.train.labels) - np.bincount(whole.train.labels) * 0.25
    assert abs(proportions).max() <= 1


def test_label_noise_touches_the_training_labels_alone(splits):
    noisy, right = splits("dataset.label_noise=0.2"), splits()
    assert (noisy.train.labels != right.train.labels).mean() == pytest.approx(0.2, abs=0.001)
    assert np.array_equal(noisy.valid.labels, right.valid.labels)
    assert np.array_equal(noisy.test.labels, right.test.labels)


def test_classes_can_be_picked_and_grouped_on_the_command_line(splits):
    some = splits("dataset.classes=[7,3,1]", "dataset.label_map={high: [7], low: [1, 3]}")
    assert some.class_names == ("high", "low")
    assert np.bincount(some.train.labels)[0] < np.bincount(some.train.labels)[1]


@pytest.mark.parametrize(("channels", "shape"), [(3, (32, 32, 3)), (1, (32, 32, 1))])
def test_grey_becomes_colour_where_asked(splits, channels, shape):
    found = splits(f"dataset.channels={channels}", "dataset.limit=20")
    assert found.image_shape == shape
    assert (found.train.images == found.train.images[..., :1]).all()


def test_odd_even_relabels_by_the_digit(splits):
    plain, mapped = splits(), splits("dataset.label_map=odd_even")
    assert mapped.class_names == ("odd", "even")
    for (_, digits), (_, parity) in zip(plain.items(), mapped.items(), strict=True):
        assert np.array_equal(parity.labels, digits.labels % 2 == 0)


def test_image_size_stretches_and_keeps_the_range(splits):
    assert splits("dataset.image_size=[28,20]").image_shape == (28, 20, 1)


@pytest.fixture
def photos(tmp_path):
    """Make 12 images of each of two classes, of several sizes, modes and formats."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            mode = ["RGB", "L", "RGBA", "P"][number % 4]
            pixels = random.integers(0, 256, (20 + number, 30, 3), np.uint8)
            suffix = "png" if mode in ("RGBA", "P") else "jpg"
            image = Image.fromarray(pixels).convert(mode)
            image.save(tmp_path / "photos" / name / f"{number:02}.{suffix}")
    return tmp_path / "photos"


def folder(path):
    return ["dataset=image_folder", f"dataset.folder={path}", "dataset.image_size=[16,24]"]


def test_folder_is_read_by_class_in_any_mode(splits, photos):
    found = splits(*folder(photos), "dataset.valid=4", "dataset.test=6")
    assert found.class_names == ("cat", "dog")
    assert found.image_shape == (16, 24, 3)
    assert [len(part) for _, part in found.items()] == [14, 4, 6]


def test_folder_with_parts_keeps_them(splits, photos, tmp_path):
    for part in ("train", "validation", "test"):
        (tmp_path / "parts").mkdir(exist_ok=True)
        (tmp_path / "parts" / part).symlink_to(photos)
    found = splits(*folder(tmp_path / "parts"))
    assert [len(part) for _, part in found.items()] == [24, 24, 24]
    assert set(found.origin.values()) == {"official"}


def test_relative_folder_is_looked_for_in_data_dir(splits, photos):
    assert len(splits(*folder("photos")).train) > 0


def test_exif_orientation_is_honoured(tmp_path):
    from cnntrain.data.photos.photo import Frame, decode_photo

    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255  # white on the left
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    image.save(tmp_path / "turned.png", exif=exif)
    frame = Frame((16, 8), 3, "stretch", None)
    upright = decode_photo((tmp_path / "turned.png").read_bytes(), frame).pixels
    assert upright[:8].mean() > 250  # white is on top now
    assert upright[8:].mean() < 5


def test_colours_are_rgb(tmp_path):
    from cnntrain.data.photos.photo import Frame, decode_photo

    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    frame = Frame((4, 4), 3, "stretch", None)
    red = decode_photo((tmp_path / "red.png").read_bytes(), frame).pixels
    assert red[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_broken_files_are_left_out_and_listed(splits, photos, cache):
    (photos / "cat" / "notes.jpg").write_text("no image")
    (photos / "dog" / "half.jpg").write_bytes((photos / "dog" / "00.jpg").read_bytes()[:200])
    found = splits(*folder(photos), f"dataset.cache={cache}")
    assert sum(len(part) for _, part in found.items()) == 24
    assert [name for name, _ in found.skipped] == ["cat/notes.jpg", "dog/half.jpg"]
    again = splits(*folder(photos), f"dataset.cache={cache}")
    assert again.skipped == found.skipped


def cuts(sizes, test=0.2, valid=0.1, seed=0):
    """Return the images of each class in each split that is cut from classes of these sizes."""
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    names = tuple(f"c{number}" for number in range(len(sizes)))
    whole = Source(np.zeros(0), labels, names, {"train": np.arange(len(labels))})
    parts, _ = split_source(whole, valid, test, "stratified", seed)
    every = np.concatenate([*parts.values()])
    assert np.array_equal(np.sort(every), np.arange(len(labels)))
    return {part: np.bincount(labels[rows], minlength=len(sizes)) for part, rows in parts.items()}


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [
        ([120, 120, 4], {"test": 0.1}),
        ([2000, 10], {}),
        ([5, 5, 5, 300], {"test": 0.02, "valid": 0.02}),
        ([3, 3, 3, 3, 400], {"test": 0.5, "valid": 0.5}),
        ([3] * 1000, {"test": 1000, "valid": 1000}),
        ([3] * 10, {"test": 10, "valid": 10}),
        ([3, 997], {"test": 2, "valid": 2}),
        ([3, 997], {"test": 996, "valid": 2}),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_class_is_on_both_sides_of_a_cut(sizes, shares, seed):
    for part, counts in cuts(sizes, **shares, seed=seed).items():
        assert counts.min() >= 1, part


def test_a_cut_has_as_many_images_as_were_asked_for():
    found = cuts([120, 120, 4], test=0.1)
    assert {part: int(counts.sum()) for part, counts in found.items()} == {
        "train": 198, "valid": 22, "test": 24,
    }  # fmt: skip


def test_a_cut_that_has_every_class_is_that_of_scikit_learn():
    from sklearn.model_selection import train_test_split

    labels = np.repeat(np.arange(3), [50, 30, 20])
    rest, taken = train_test_split(np.arange(100), test_size=20, random_state=3, stratify=labels)
    found = split_stratified(np.arange(100), labels, 0.2, 3, 2)
    assert [rows.tolist() for rows in found] == [sorted(rest), sorted(taken)]


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [
        ([3] * 1000, {}),
        ([3] * 1000, {"test": 2900}),
        ([10, 10, 10], {"test": 2, "valid": 1}),
        ([4] * 20, {"test": 0.9}),
        ([4] * 20, {"valid": 79}),
    ],
)
def test_numbers_suggested_for_a_refused_cut_work(sizes, shares):
    with pytest.raises(SpecError) as refused:
        cuts(sizes, **shares)
    pairs = [word.removeprefix("dataset.").split("=") for word in refused.value.hint.split()]
    assert [name for name, _ in pairs] == ["test", "valid"]
    found = cuts(sizes, **{name: int(number) for name, number in pairs})
    assert all(counts.min() >= 1 for counts in found.values())


def test_classes_too_rare_to_be_cut_can_be_left_out_as_suggested():
    labels = np.repeat(np.arange(4, dtype=np.int32), [9, 2, 1, 9])
    names = ("ant", "bee", "cat", "dog")
    whole = Source(np.zeros(0), labels, names, {"train": np.arange(21)})
    with pytest.raises(SpecError) as refused:
        split_source(whole, 0.2, 0.2, "stratified", 0)
    assert "bee has 2 of the images" in refused.value.given
    assert refused.value.hint == "dataset.classes=[ant,dog]"
    split_source(select_classes(whole, ["ant", "dog"]), 0.2, 0.2, "stratified", 0)


@pytest.mark.parametrize(("count", "knob"), [(100, "limit"), (3, "limit"), (50, "fraction")])
def test_a_limit_leaves_an_image_of_each_class(count, knob):
    labels = np.repeat(np.arange(3), [3, 1000, 10])
    rows = sample_rows(np.arange(1013), labels, count, 0, knob)
    assert len(rows) == count
    assert np.bincount(labels[rows], minlength=3).min() >= 1
