"""Data sets of TFDS by name: how features and splits are used, and what is refused."""

import hashlib
import io

import numpy as np
import pytest
import tensorflow_datasets as library

from cnntrain.data.datasets.tfds import Slices, tfds
from cnntrain.data.fetch.tfds_slices import divide_splits
from cnntrain.data.photos.photo import Photos
from cnntrain.errors import SpecError
from helpers.tiny import photo, photos_of, written

features = library.features


@pytest.fixture
def splits(spec, tmp_path):
    return lambda *overrides: spec(*overrides).dataset(tmp_path, None)


def source(data_dir, name, image_key=None, label_key=None):
    slices = Slices(train=None, valid=None, test=None)
    return tfds(data_dir, None, tfds=name, image_key=image_key, label_key=label_key, slices=slices)


def images_of(count, classes, shape=(8, 8, 3), **more):
    random = np.random.default_rng(0)
    return [
        {"image": random.integers(0, 256, shape, np.uint8), "label": n % classes, **more}
        for n in range(count)
    ]


IMAGE, LABEL = features.Image(shape=(None, None, 3)), features.ClassLabel(names=["cat", "dog"])


def test_cifar100_has_fine_and_coarse_labels(splits, tmp_path):
    fine = [f"fine{n}" for n in range(100)]
    kinds = {
        "id": features.Text(),
        "image": features.Image(shape=(32, 32, 3)),
        "label": features.ClassLabel(names=fine),
        "coarse_label": features.ClassLabel(num_classes=20),
    }
    rows = [{**row, "id": "x", "coarse_label": row["label"] // 5}
            for row in images_of(300, 100, (32, 32, 3))]  # fmt: skip
    written(tmp_path, "cifar100", "3.0.2", kinds, {"train": rows, "test": rows[:100]})
    small = ("dataset.valid=100",)
    detailed = splits("dataset=cifar100", *small)
    coarse = splits("dataset=cifar100_coarse", *small)
    assert len(detailed.class_names) == 100
    assert len(coarse.class_names) == 20
    assert np.array_equal(detailed.test.images, coarse.test.images)
    assert np.array_equal(detailed.test.labels // 5, coarse.test.labels)
    assert detailed.origin["test"] == "official"


def test_oxford_flowers102_keeps_its_three_splits_and_its_file_names(splits, tmp_path):
    kinds = {
        "image": IMAGE,
        "label": features.ClassLabel(num_classes=102),
        "file_name": features.Text(),
    }
    named = [
        list(photos_of(204, 102, file_name=lambda n, _, p=part: f"image_{p}{n:04}.jpg"))
        for part in (0, 1, 2)
    ]
    parts = dict(zip(("train", "test", "validation"), named, strict=True))
    written(tmp_path, "oxford_flowers102", "2.1.1", kinds, parts)
    found = source(tmp_path, "oxford_flowers102")
    assert {part: len(rows) for part, rows in found.parts.items()} == {
        "train": 204, "valid": 204, "test": 204,
    }  # fmt: skip
    first = {part: found.images.names[rows[0]] for part, rows in found.parts.items()}
    assert first == {
        "train": "image_00000.jpg", "test": "image_10000.jpg", "valid": "image_20000.jpg",
    }  # fmt: skip
    assert found.images.read(int(found.parts["train"][7])) == photo(7, (11, 12))
    cut = splits("dataset=oxford_flowers102", "dataset.image_size=[8,8]")
    assert {cut.origin["valid"], cut.origin["test"]} == {"official"}


def test_tf_flowers_is_cut_into_75_15_and_10_percent(splits, tmp_path):
    kinds = {"image": IMAGE, "label": features.ClassLabel(num_classes=5)}
    written(tmp_path, "tf_flowers", "3.0.1", kinds, {"train": list(photos_of(200, 5))})
    found = splits("dataset=tf_flowers", "dataset.image_size=[8,8]")
    assert [len(part) for _, part in found.items()] == [150, 30, 20]
    assert source(tmp_path, "tf_flowers").images.names[17] == "train[17]"


SLICES = (
    "dataset.slices.train=train[25%:]", "dataset.slices.valid=train[10%:25%]",
    "dataset.slices.test=train[:10%]",
)  # fmt: skip


def test_tf_flowers_is_sliced_as_tfds_slices_it(splits, tmp_path):
    kinds = {"image": IMAGE, "label": features.ClassLabel(num_classes=5)}
    written(tmp_path, "tf_flowers", "3.0.1", kinds, {"train": list(photos_of(200, 5))})
    found = splits("dataset=tf_flowers", "dataset.image_size=[8,8]", *SLICES)
    assert {name: len(part) for name, part in found.items()} == {
        "train": 150, "valid": 30, "test": 20,
    }  # fmt: skip
    names = {name: [found.names[row] for row in part.rows] for name, part in found.items()}
    assert names["test"] == [f"train[{n}]" for n in range(20)]
    assert names["valid"] == [f"train[{n}]" for n in range(20, 50)]
    builder = library.builder("tf_flowers", data_dir=tmp_path)
    theirs = builder.as_dataset(split="train[10%:25%]").as_numpy_iterator()
    assert found.valid.labels.tolist() == [example["label"] for example in theirs]
    assert found.origin["valid"].startswith("slices of TFDS: train is train[25%:], valid")


TEXTS = [
    "train", "train[:10%]", "train[33%:67%]", "train[-10%:]", "train[:-10%]", "train[5:60]",
    "train[-7:]", "train[12.5%:]", "train[:3]+test[50%:]",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("count", [67, 3670])
def test_slices_are_those_of_tfds(text, count):
    sizes = {"train": count, "test": 10}
    infos = {
        name: library.core.splits.SplitInfo(
            name=name, shard_lengths=[size], num_bytes=0, filename_template=None
        )
        for name, size in sizes.items()
    }
    theirs = [
        (part.splitname, part.from_ or 0, sizes[part.splitname] if part.to is None else part.to)
        for part in library.core.ReadInstruction.from_spec(text).to_absolute(infos)
    ]
    ours = divide_splits(sizes, {"train": text, "test": "test[:1]"})["train"]
    assert [(piece.split, piece.rows.start, piece.rows.stop) for piece in ours] == theirs


@pytest.mark.parametrize(
    ("slices", "given"),
    [
        (
            {"valid": "train[:10%]"},
            "train is train and valid is train[:10%], which share 10 images",
        ),
        ({"train": "train[:60]", "test": "train[59:]"}, "share 1 images"),
        ({"train": "train[:60]+train[50:]"}, "share 10 images"),
        ({"train": "train[50:]", "valid": "test"}, "valid is test and test is test"),
        ({"train": "training"}, "dataset.slices.train is training"),
        ({"train": "train[:101]"}, "takes the examples 0 to 101"),
        ({"train": "train[60%:40%]"}, "takes the examples 60 to 40"),
        ({"train": "train[:0.1%]"}, "takes the examples 0 to 0"),
    ],
)
def test_slices_that_share_images_or_have_none_are_refused(slices, given):
    with pytest.raises(SpecError) as answer:
        divide_splits({"train": 100, "test": 10}, slices)
    assert given in answer.value.given


def test_broken_photo_without_a_name_is_named_by_its_place(splits, tmp_path):
    kinds = {"image": IMAGE, "label": LABEL}
    rows = list(photos_of(40, 2))
    rows[3]["image"] = io.BytesIO(photo(3)[:200])
    written(tmp_path, "halves", "1.0.0", kinds, {"train": rows})
    found = splits("dataset=tfds", "dataset.tfds=halves", "dataset.image_size=[8,8]")
    assert [name[:6] for name, _ in found.skipped] == ["train["]
    assert sum(len(part) for _, part in found.items()) == 39


@pytest.fixture
def cats_and_dogs(tmp_path):
    """Return a function that writes TFDS' cats_vs_dogs with some photos in some order."""
    kinds = {"image": IMAGE, "image/filename": features.Text(), "label": LABEL}

    def write(folder, numbers):
        rows = list(photos_of(60, 2, **{"image/filename": name_of}))
        written(tmp_path / folder, "cats_vs_dogs", "4.0.1", kinds,
                {"train": [rows[n] for n in numbers]})  # fmt: skip
        return tmp_path / folder

    return write


def name_of(number, label):
    return f"PetImages/{('Cat', 'Dog')[label]}/{number}.jpg"


def names_of(spec, data_dir):
    """Return the file names of each part, found by the contents of their photos."""
    found = spec("dataset=cats_vs_dogs", "dataset.image_size=[8,8]").dataset(data_dir, None)
    names = {
        hashlib.sha256(photo(n, (10 + n % 3, 12))).digest(): name_of(n, n % 2) for n in range(60)
    }
    return found, {
        part: {names[bytes(found.digests[row])] for row in examples.rows}
        for part, examples in found.items()
    }


def test_cats_vs_dogs_has_the_same_test_photos_whatever_their_order(spec, cats_and_dogs):
    found, parts = names_of(spec, cats_and_dogs("a", range(60)))
    assert {name: len(part) for name, part in parts.items()} == {"train": 49, "valid": 5, "test": 6}
    assert parts["test"] == {
        f"PetImages/Cat/{n}.jpg" for n in CATS
    } | {f"PetImages/Dog/{n}.jpg" for n in DOGS}  # fmt: skip
    assert found.origin["test"].startswith("fixed")
    shuffled = np.random.default_rng(1).permutation(60)
    assert names_of(spec, cats_and_dogs("b", shuffled))[1] == parts


# The three of thirty names with the smallest sha256, computed by sha256sum.
CATS, DOGS = (16, 38, 48), (5, 7, 59)


def test_cats_vs_dogs_counts_as_cut_by_its_makers(cats_and_dogs, spec):
    data_dir = cats_and_dogs("a", range(60))
    small = ("dataset=cats_vs_dogs", "dataset.image_size=[8,8]")
    first = spec(*small).dataset(data_dir, None)
    other = spec(*small, "dataset.split_seed=5", "dataset.test=30").dataset(data_dir, None)
    assert np.array_equal(first.test.images, other.test.images)


def test_classes_and_configurations_of_the_users_own_data_set(tmp_path):
    kinds = {"image": features.Image(shape=(8, 8, 1)), "label": LABEL}
    rows = {"train": images_of(20, 2, (8, 8, 1))}
    written(tmp_path, "mine", "1.0.0", kinds, rows, config="small")
    written(tmp_path, "mine", "2.0.0", kinds, rows, config="small")
    found = source(tmp_path, "mine/small:1.0.0")
    assert found.images.shape == (20, 8, 8, 1)
    assert found.class_names == ("cat", "dog")
    assert list(found.parts) == ["train"]
    with pytest.raises(SpecError, match="TFDS cannot build mine/large"):
        source(tmp_path, "mine/large")


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (features.Image(shape=(8, 8, 3)), np.ndarray),
        (features.Image(shape=(8, 8, 4)), Photos),
        (features.Image(shape=(200, 20, 3)), Photos),
        (features.Image(shape=(8, 8, 1), dtype=np.uint16), Photos),
        (features.Image(shape=(None, None, 1)), Photos),
    ],
)
def test_small_images_of_one_size_become_an_array(tmp_path, image, kind):
    shape = [size or 9 for size in image.shape]
    rows = [{"image": np.full(shape, n, image.np_dtype), "label": n % 2} for n in range(4)]
    written(tmp_path, "sizes", "1.0.0", {"image": image, "label": LABEL}, {"train": rows})
    assert isinstance(source(tmp_path, "sizes").images, kind)


@pytest.mark.parametrize(
    ("more", "keys", "given", "hint"),
    [
        ({}, ("picture", None), "image_key is picture, and odd has the images image", "image"),
        ({"kind": LABEL}, (None, None), "label_key is null, and odd has the labels", "label"),
        ({"kind": LABEL}, (None, "kin"), "label_key is kin", "kind"),
    ],
)
def test_missing_or_ambiguous_feature_is_refused(tmp_path, more, keys, given, hint):
    rows = images_of(4, 2, **dict.fromkeys(more, 0))
    kinds = {"image": features.Image(shape=(8, 8, 3)), "label": LABEL, **more}
    written(tmp_path, "odd", "1.0.0", kinds, {"train": rows})
    with pytest.raises(SpecError, match=given) as caught:
        source(tmp_path, "odd", *keys)
    assert caught.value.hint.endswith(f"_key={hint}")


def test_set_without_a_label_is_refused(tmp_path):
    rows = [{"image": np.zeros((8, 8, 3), np.uint8)}]
    written(tmp_path, "bare", "1.0.0", {"image": IMAGE}, {"train": rows})
    with pytest.raises(SpecError, match="bare has no label to learn from: it has image"):
        source(tmp_path, "bare")


def test_only_split_is_train_whatever_its_name(tmp_path):
    kinds = {"image": IMAGE, "label": LABEL}
    written(tmp_path, "one", "1.0.0", kinds, {"test": images_of(4, 2)})
    assert list(source(tmp_path, "one").parts) == ["train"]
    written(tmp_path, "two", "1.0.0", kinds, {"test": images_of(4, 2), "extra": images_of(4, 2)})
    with pytest.raises(SpecError, match="two has the splits"):
        source(tmp_path, "two")


def test_labels_that_are_not_published_are_refused(tmp_path):
    kinds = {"image": IMAGE, "label": LABEL}
    hidden = [{**row, "label": -1} for row in images_of(4, 2)]
    written(tmp_path, "hidden", "1.0.0", kinds, {"train": images_of(8, 2), "test": hidden})
    found = source(tmp_path, "hidden")
    assert list(found.parts) == ["train"]
    assert found.notes == ["hidden: the labels of test are not published: left out"]


@pytest.mark.parametrize(
    ("name", "given", "hint"),
    [
        ("minst", "'minst' is no data set of TFDS", "dataset.tfds=mnist"),
        ("MNIST", "'MNIST' is no data set of TFDS", "dataset.tfds=mnist"),
        ("../mnist", "is no data set", None),
        ("", "is no data set", None),
        ("cifar10:1.0.0", "only: 3.0.2", None),
        ("cifar10_1/v9", "BuilderConfig v9 not found", None),
        ("coco", "coco has no label to learn from", None),
        ("imagenet2012", "must be fetched by hand", "manual_dir=THAT_FOLDER"),
    ],
)
def test_unknown_name_is_refused_before_any_download(no_network, tmp_path, name, given, hint):
    with pytest.raises(SpecError, match=given) as caught:
        source(tmp_path, name)
    assert caught.value.hint == hint


@pytest.mark.parametrize("count", ["10", "30"])
def test_prepared_set_of_another_size_than_it_says_is_refused(tmp_path, count):
    image = features.Image(shape=(8, 8, 3))
    written(
        tmp_path, "mine", "1.0.0", {"image": image, "label": LABEL}, {"train": images_of(20, 2)}
    )
    file = tmp_path / "mine" / "1.0.0" / "dataset_info.json"
    file.write_text(file.read_text().replace('"20"', f'"{count}"'))
    with pytest.raises(SpecError, match=r"is damaged: .* was expected to contain"):
        source(tmp_path, "mine")


@pytest.mark.parametrize("damage", ["lost", "cut", "changed"])
def test_prepared_set_that_was_damaged_is_refused(tmp_path, damage):
    kinds = {"image": IMAGE, "label": LABEL}
    written(tmp_path, "mine", "1.0.0", kinds, {"train": list(photos_of(20, 2))})
    file = next((tmp_path / "mine" / "1.0.0").glob("*.tfrecord*"))
    content = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        file.write_bytes(content[:500] + b"?" + content[501:])
    with pytest.raises(SpecError, match=r"is not whole|is damaged"):
        source(tmp_path, "mine")
