"""`cnntrain data verify`: what is wrong with a data set is found, by name."""

import html
import json
import re
import resource
import shlex
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from helpers.tiny import draw_scene, write_photos

FOLDER = "image_folder dataset.folder=photos dataset.image_size=[16,16]"


@pytest.fixture
def spoilt(tmp_path):
    """Photos in parts: one twice in train, one in train and test, one in 2 classes, two broken."""
    for part in ("train", "valid", "test"):
        write_photos(tmp_path / "photos" / part, count=6 if part == "train" else 2)
    train, valid, test = (tmp_path / "photos" / part for part in ("train", "valid", "test"))
    for folder in (valid, test):  # the generator draws the same for each
        for file in folder.rglob("*.png"):
            pixels = np.asarray(Image.open(file))
            Image.fromarray(pixels ^ (1 if folder is valid else 2)).save(file)
    shutil.copy(train / "cat" / "00.png", train / "cat" / "again.png")
    shutil.copy(train / "dog" / "01.png", test / "dog" / "leak.png")
    shutil.copy(train / "dog" / "02.png", train / "cat" / "disguised.png")
    (train / "cat" / "text.png").write_text("no image")
    (test / "dog" / "half.png").write_bytes((test / "dog" / "00.png").read_bytes()[:300])


def names(groups):
    return [[place["name"] for place in places] for places in groups]


def test_verify_finds_what_is_wrong_by_name(data, spoilt):
    code, out, _ = data(f"verify {FOLDER} --json")
    found = json.loads(out)
    assert (code, found["well"]) == (1, False)
    assert found["splits"]["train"]["classes"] == {"cat": 8, "dog": 6}
    assert found["splits"]["test"]["classes"] == {"cat": 2, "dog": 3}
    assert [file["file"] for file in found["broken"]] == ["train/cat/text.png", "test/dog/half.png"]
    assert names(found["leaks"]) == [["train/dog/01.png", "test/dog/leak.png"]]
    assert names(found["label_conflicts"]) == [["train/cat/disguised.png", "train/dog/02.png"]]
    assert sorted(names(found["duplicates"])) == [
        ["train/cat/00.png", "train/cat/again.png"],
        ["train/cat/disguised.png", "train/dog/02.png"],
    ]


def test_verify_tells_people_the_same(data, spoilt):
    code, out, _ = data(f"verify {FOLDER}")
    assert code == 1
    assert "Left out 2 files that are no images:\n  train/cat/text.png: " in out
    assert "1 image is in more than one split: LEAK" in out
    assert "  train train/dog/01.png (dog) = test test/dog/leak.png (dog)" in out
    assert "1 image is under more than one class" in out
    assert out.count("train/cat/again.png") == 1


def test_verify_of_good_data_is_well_and_leaves_no_decoded_photos(data, tmp_path):
    write_photos(tmp_path / "photos")
    code, out, _ = data(f"verify {FOLDER} dataset.label_map={{pet:[cat],beast:[dog]}}")
    assert code == 0
    assert "pet" in out
    assert "No image is in more than one split." in out
    # Photos so small are not searched for what is near, blurred or tiny.
    assert "Looked for and not found: images of one colour.\n" in out
    assert "  stored as 20x30 in the median (height x width), trained on 16x16\n" in out
    assert not list(tmp_path.rglob("*.npy"))


def test_verify_warns_of_a_class_that_may_never_be_learnt(data, tmp_path):
    write_photos(tmp_path / "photos")
    for number in range(400):
        Image.new("L", (9, 9), number % 256).save(tmp_path / "photos" / "cat" / f"x{number}.png")
    out = data(f"verify {FOLDER} --json")[1]
    (warning,) = json.loads(out)["warnings"]
    assert "loss.class_weights=balanced" in warning
    assert warning in data(f"verify {FOLDER}")[1]
    assert "unbalanced" not in data(f"verify {FOLDER} loss.class_weights=balanced")[1]


def test_images_of_an_array_are_compared_by_their_pixels(tmp_path):
    from cnntrain.data.source import Examples, Splits
    from cnntrain.data.verify import verify_splits

    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1).repeat(4, axis=1)
    images[4] = images[1]
    images[2] = images[0]
    rows = {"train": [0, 1, 2], "valid": [3], "test": [4, 5]}
    parts = {s: Examples(images, np.zeros(len(r), np.int32), np.array(r)) for s, r in rows.items()}
    found = verify_splits(
        Splits(**parts, class_names=("one",), origin=dict.fromkeys(rows, "official"))
    )
    assert [[str(copy) for copy in places] for places in found.leaks] == [
        ["train image 1 (one)", "test image 0 (one)"]
    ]
    assert [[str(copy) for copy in places] for places in found.duplicates] == [
        ["train image 0 (one)", "train image 2 (one)"]
    ]


def test_cats_and_dogs_are_verified_where_they_lie(data, archives):
    file = archives / "cats_and_dogs_700.zip"
    code, out, _ = data(f"verify image_folder dataset.folder={file} --json")
    found = json.loads(out)
    assert code == 0
    assert {split: part["classes"] for split, part in found["splits"].items()} == {
        "train": {"cats": 200, "dogs": 200},
        "valid": {"cats": 100, "dogs": 100},
        "test": {"cats": 50, "dogs": 50},
    }


@pytest.mark.slow
def test_cifar10_is_verified_in_less_than_a_minute_of_a_processor(command, cifar10_dir):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = command("data", "verify", "cifar10", f"data_dir={cifar10_dir}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert after.ru_utime - before.ru_utime < 60
    assert re.search(r"all +45,000 +5,000 +10,000", done.stdout)


@pytest.fixture
def alike(tmp_path):
    """Photos of scenes, one of train also in test: mirrored, smaller and recompressed."""
    for place, part in enumerate(("train", "valid", "test")):
        for name in ("cat", "dog"):
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            for number in range(3):
                seed = 100 * place + 10 * number + (name == "cat")
                draw_scene(seed).save(tmp_path / "photos" / part / name / f"{number}.png")
    copy = draw_scene(10).resize((90, 60)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    copy.save(tmp_path / "photos" / "test" / "dog" / "copy.jpg", quality=40)
    return tmp_path / "photos"


def test_near_duplicates_fail_only_those_who_ask_for_it(data, alike):
    code, out, _ = data(f"verify {FOLDER}")
    assert code == 0
    line = "  train train/dog/1.png (dog) ~ mirrored test test/dog/copy.jpg (dog)"
    assert "Warning: 1 pair of images is of two splits nearly the same: what was learnt" in out
    assert line in out
    code, out, _ = data(f"verify {FOLDER} --strict --json")
    found = json.loads(out)
    assert (code, found["well"]) == (1, True)
    assert [pair["second"]["name"] for pair in found["near_duplicates"]] == ["test/dog/copy.jpg"]
    assert found["thresholds"]["near"] == 0.93
    assert data(f"verify {FOLDER} --strict --near none")[0] == 0


def test_page_and_tables_are_written_edited_and_applied(data, alike, tmp_path):
    code, out, _ = data(f"verify {FOLDER} --output found")
    assert code == 0
    assert sorted(file.name for file in (tmp_path / "found").iterdir()) == [
        "data.html",
        "findings.csv",
        "labels.csv",
    ]
    page = (tmp_path / "found" / "data.html").read_text()
    assert "Nearly the same in two splits" in page
    assert page.count("data:image/") == 2
    command = shlex.join(["cnntrain", "data", "verify", *FOLDER.split()])
    assert f"{command} --output NEW_FOLDER" in html.unescape(page)
    assert "Found: 1 near-duplicate between splits." in page
    labels = (tmp_path / "found" / "labels.csv").read_text()
    assert "../photos/train/dog/1.png" not in labels
    assert labels.count("\n") == 1 + 18
    findings = (tmp_path / "found" / "findings.csv").read_text()
    assert "../photos/train/dog/1.png,dog,train,drop,," in findings
    again = next(line for line in out.splitlines() if line.endswith("--apply found/findings.csv"))

    (tmp_path / "found" / "findings.csv").write_text(
        findings.replace("dog,train,drop,,", "dog,train,relabel,cat,")
    )
    code, out, _ = data(shlex.join(shlex.split(again)[2:]))
    assert (code, out.splitlines()[-1]) == (
        0,
        "cnntrain dataset=table dataset.table=found/labels.csv",
    )
    assert "../photos/train/dog/1.png,cat,train\n" in (tmp_path / "found/labels.csv").read_text()


def test_a_photo_in_two_classes_is_shown_and_asked_about(data, alike, tmp_path):
    shutil.copy(alike / "train" / "cat" / "1.png", alike / "test" / "dog" / "copied.png")
    (alike / "train" / "cat" / "torn.png").write_bytes(b"\x89PNG")
    code, out, _ = data(f"verify {FOLDER} --output found")
    assert code == 1
    assert "Pictures with more than one label: 1." in out
    page = (tmp_path / "found" / "data.html").read_text()
    assert "The same picture with different labels" in page
    assert "1 picture with more than one label" in page
    assert "<h2>Broken files</h2>" in page
    labels = (tmp_path / "found" / "labels.csv").read_text()
    assert "train/cat/1.png,cat,train" in labels
    assert "test/dog/copied.png,dog,test" in labels


def test_the_command_that_trains_on_the_labels_can_be_copied(data, alike, spec):
    strange = "März's=best, (2)"
    lines = data(f"verify {FOLDER} --output {shlex.quote(strange)}")[1].splitlines()
    apply, train = (next(line for line in lines if word in line) for word in ("--apply", "=table"))
    assert data(shlex.join(shlex.split(apply)[2:]))[1].splitlines()[-1] == train
    words = shlex.split(train)[1:]
    assert spec(*words).config["dataset"]["table"] == f"{strange}/labels.csv"


@pytest.mark.parametrize(
    ("flags", "given"),
    [
        ("--near much", "--near is much"),
        ("--near 2", "--near is 2"),
        ("--blur -1", "--blur is -1"),
        ("--apply nothing.csv", "nothing.csv, which is not there"),
        ("--apply photos", "photos, which is a folder"),
        ("--apply nothing.csv --output new", "--apply and --output are both given"),
        ("--output photos", "which has a findings.csv already"),
        ("--run nowhere", "nowhere"),
    ],
)
def test_mistake_in_a_flag_is_answered(data, alike, flags, given):
    (alike / "findings.csv").write_text("mine")
    code, out, err = data(f"verify {FOLDER} {flags}")
    assert (code, out) == (2, "")
    assert given in err
    assert (alike / "findings.csv").read_text() == "mine"


def test_flags_of_verify_are_for_verify_only(data):
    assert "--near is not for data prepare" in data("prepare digits --near 1")[2]


def vary(photo, number):
    """Return a photo as people pass it on: smaller, recompressed, mirrored, or all of it."""
    if number % 2:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if number % 5 < 3:
        share = (0.3, 0.5, 0.8)[number % 3]
        photo = photo.resize((int(photo.width * share), int(photo.height * share)))
    return photo, (30, 50, 70, 90)[number % 4]


def unpack_parts(part, archives, folder):
    """Unpack real photos into parts and classes, and return their folder."""
    if part == "cats":
        with zipfile.ZipFile(archives / "cats_and_dogs_700.zip") as archive:
            archive.extractall(folder)
        home = folder / "cats_and_dogs"
        (home / "validation").rename(home / "test")
        return home
    with tarfile.open(archives / "17flowers.tgz") as archive:
        archive.extractall(folder, filter="data")
    for number in range(1360):
        home = folder / ("test" if number % 80 < 20 else "train") / f"{number // 80:02}"
        home.mkdir(parents=True, exist_ok=True)
        (folder / "jpg" / f"image_{number + 1:04}.jpg").rename(home / f"{number}.jpg")
    return folder


@pytest.mark.parametrize(("part", "known"), [("cats", 1), ("flowers", 69)])
def test_twenty_near_duplicates_between_splits_of_real_photos_are_found(
    data, archives, tmp_path, part, known
):
    """`known` pairs are in the photos themselves: all of them have been looked at."""
    home = unpack_parts(part, archives, tmp_path / part)
    train = sorted((home / "train").rglob("*.jpg"))
    planted = []
    for number, row in enumerate(np.random.default_rng(0).choice(len(train), 20, replace=False)):
        photo, quality = vary(Image.open(train[row]), number)
        copy = home / "test" / train[row].parent.name / f"planted{number}.jpg"
        photo.convert("RGB").save(copy, quality=quality)
        planted.append([str(file.relative_to(home)) for file in (train[row], copy)])
    code, out, _ = data(f"verify image_folder dataset.folder={home} dataset.valid=0 --json")
    assert code == 0
    found = json.loads(out)["near_duplicates"]
    groups: dict[str, set[str]] = {}  # a copy may be paired with a twin that its original has
    for pair in found:
        names = [pair["first"]["name"], pair["second"]["name"]]
        group = set().union(*(groups.get(name, {name}) for name in names))
        groups.update(dict.fromkeys(group, group))
    hits = sum(copy in groups.get(original, ()) for original, copy in planted)
    print(f"{part}: {hits} of 20 found, {len(found) - hits - known} others that are none")
    assert hits == 20
    assert len(found) == 20 + known
