"""`cnntrain data`: what there is, made ready, verified and shown, as a user has it."""

import json
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnntrain.cli.main import main
from cnntrain.spec import option_files
from cnntrain.spec.about import DatasetAbout, read_option

FILES = option_files.find_option_files("dataset")


@pytest.fixture
def data(tmp_path, monkeypatch, capsys):
    """Run `cnntrain data …` in an empty directory: data("list") -> (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNTRAIN_DATA", str(tmp_path / "data"))

    def run(words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["data", *shlex.split(words)])
        streams = capsys.readouterr()
        return ended.value.code, streams.out, streams.err

    return run


def photos(folder, count=12):
    """A folder of images, each of its own, for each of two classes."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    return folder


FOLDER = "image_folder dataset.folder=photos dataset.image_size=[16,16]"


# list


def entries(answer):
    code, out, err = answer
    assert code == 0, err
    return json.loads(out)["dataset"]


def test_list_knows_what_is_here_and_takes_nothing_unfinished_for_it(data, tmp_path):
    unfinished = tmp_path / "data" / "cifar100" / "incomplete.X1_3.0.2"
    unfinished.mkdir(parents=True)
    (unfinished / "dataset_info.json").touch()
    for version in ("3.0.2", "3.0.10"):
        (tmp_path / "data" / "cifar10" / version).mkdir(parents=True)
        (tmp_path / "data" / "cifar10" / version / "dataset_info.json").touch()
    found = entries(data("list --json"))
    here = {option: entry["here"] for option, entry in found.items()}
    assert (here["digits"], here["cifar10"], here["cifar100"]) == ("always", "prepared", "no")
    assert found["cifar10"]["path"].endswith("3.0.10")
    assert (here["image_folder"], found["image_folder"]["needs"]) == ("needs", ["folder"])
    assert set(found) == set(FILES)


def test_list_does_not_take_the_archives_of_one_set_for_those_of_another(data, tmp_path):
    (tmp_path / "archives").mkdir()
    sizes = (1_648_877, 4_542, 9_912_422, 28_881)  # of MNIST; Fashion-MNIST has the same names
    about = read_option(FILES["mnist"], DatasetAbout)[1]
    for name, size in zip(about.archives, sizes, strict=True):
        with (tmp_path / "archives" / name).open("wb") as file:
            file.truncate(size)
    found = entries(data("list manual_dir=archives --json"))
    assert found["mnist"]["here"] == "archives"
    assert found["fashion_mnist"]["here"] == "others"


def test_table_fits_the_terminal(data, monkeypatch):
    code, out, _ = data("list")
    assert code == 0
    assert all(f"\n{option} " in out for option in FILES)
    assert max(map(len, out.partition("\n\n")[0].splitlines())) <= 100


# mistakes


@pytest.mark.parametrize(
    ("words", "given", "hint"),
    [
        ("", "given no command", "cnntrain data list"),
        ("perpare mnist", "given perpare", "cnntrain data prepare mnist"),
        ("prepare", "no data set is named", "cnntrain data list"),
        ("verify cifar-10", "cifar-10 is no data set", "cnntrain data verify cifar10"),
        ("preview dataset=mnist", "no data set is named", "cnntrain data preview mnist"),
        (
            "prepare mnist dataset=digits",
            "mnist and digits are both",
            "cnntrain data prepare mnist",
        ),
        ("prepare digits dataset.limt=5", "dataset.limt", "dataset.limit=5"),
        ("prepare digits mnist", "digits and mnist are both", "cnntrain data prepare digits"),
        ("preview digits --json", "--json is not for data preview", None),
        ("list --output x.png", "--output is not for data list", None),
        ("preview digits --output nowhere/x.png", "nowhere, where the picture goes, is not", None),
        ("preview digits --output x.jpg", "--output is x.jpg", None),
        ("preview digits --output there.png", "there.png, which is there", None),
        ("verify image_folder", "dataset.folder is not given", None),
        (f"prepare {FOLDER}", "photos, which is not there", None),
    ],
)
def test_mistake_is_answered_and_nothing_is_made(data, tmp_path, words, given, hint):
    (tmp_path / "there.png").write_text("precious")
    code, out, err = data(words)
    assert (code, out) == (2, "")
    assert given in err
    assert hint is None or err.endswith(f"try       {hint}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"]
    assert (tmp_path / "there.png").read_text() == "precious"


@pytest.mark.parametrize(
    ("words", "code"),
    [("--help", 0), ("verify --help", 0), ("list", 0), ("prepare mnsit", 2), ("verify digits", 0)],
)
def test_answer_comes_without_tensorflow(words, code, tmp_path):
    program = (
        "import sys\n"
        "from cnntrain.cli.main import main\n"
        "try:\n"
        f"    main(['data', *{words.split()!r}])\n"
        "except SystemExit as ended:\n"
        "    loaded = {'tensorflow', 'keras'} & set(sys.modules)\n"
        "    sys.exit(f'loaded {loaded}' if loaded else ended.code)\n"
    )
    line = [sys.executable, "-c", program]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert list(tmp_path.iterdir()) == []


# prepare


def test_prepare_says_what_is_ready_and_how_to_train_on_it(data):
    code, out, _ = data("prepare digits dataset.limit=100 'dataset.image_size=[16,16]'")
    assert code == 0
    assert out.splitlines()[0] == "digits is ready: 300 images of 16x16x1, 10 classes"
    assert "cut from train, stratified, split_seed=0" in out
    words = "cnntrain dataset=digits dataset.limit=100 'dataset.image_size=[16,16]'"
    assert out.splitlines()[-1] == f"Train on it: {words}"


def test_prepare_names_what_it_left_out_and_where_the_decoded_photos_are(data, tmp_path):
    (photos(tmp_path / "photos") / "cat" / "notes.jpg").write_text("no image")
    code, out, _ = data(f"prepare {FOLDER} dataset.cache=disk --json")
    found = json.loads(out)
    assert code == 0
    assert {split: part["images"] for split, part in found["splits"].items()} == {
        "train": 17, "valid": 2, "test": 5,
    }  # fmt: skip
    assert found["skipped"][0]["file"] == "cat/notes.jpg"
    assert Path(found["places"]["decoded"]).is_file()
    assert "cat/notes.jpg: no image" in data(f"prepare {FOLDER}")[1]


# verify


@pytest.fixture
def spoilt(tmp_path):
    """Photos in parts: one twice in train, one in train and test, one in 2 classes, two broken."""
    for part in ("train", "valid", "test"):
        photos(tmp_path / "photos" / part, count=6 if part == "train" else 2)
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
    photos(tmp_path / "photos")
    code, out, _ = data(f"verify {FOLDER} dataset.label_map={{pet:[cat],beast:[dog]}}")
    assert code == 0
    assert "pet" in out
    assert "No image is in more than one split." in out
    assert not list(tmp_path.rglob("*.npy"))


def test_verify_warns_of_a_class_that_may_never_be_learnt(data, tmp_path):
    photos(tmp_path / "photos")
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


# preview


def test_preview_draws_a_new_picture_each_time(command, tmp_path):
    done = command("data", "preview", "digits", "augmentation=shift_flip")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("pixels in preview_digits.png\n")
    with Image.open(tmp_path / "preview_digits.png") as sheet:
        assert sheet.format == "PNG"
        assert 1000 < sheet.size[0] < 2000
    assert [path.name for path in tmp_path.iterdir()] == ["preview_digits.png"]


def test_later_previews_have_numbers(data, tmp_path):
    words = "preview digits dataset.limit=40"  # fewer than a batch
    assert [data(words)[1].split()[-1] for _ in range(2)] == [
        "preview_digits.png", "preview_digits_2.png",
    ]  # fmt: skip
    assert data(f"{words} --output mine.png")[1].endswith(" mine.png\n")


# interrupted


SLOW = (
    "import sys, time\n"
    "import cnntrain.data.photos.decode as decoding\n"
    "quick = decoding.read_unchanged\n"
    "def slow(*arguments):\n"
    "    time.sleep(0.05)\n"
    "    return quick(*arguments)\n"
    "decoding.read_unchanged = slow\n"
    "from cnntrain.cli.main import main\n"
    "main(sys.argv[1:])\n"
)


@pytest.mark.parametrize(
    ("verb", "number", "code"),
    [
        ("prepare", signal.SIGINT, 130),
        pytest.param("verify", signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_interrupted_in_the_middle_it_leaves_nothing_half_made(tmp_path, verb, number, code):
    photos(tmp_path / "photos", count=150)
    words = [*f"data {verb} {FOLDER} data_dir=data dataset.cache=disk".split()]
    line = [sys.executable, "-c", SLOW, *words]
    process = subprocess.Popen(
        line,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not list(tmp_path.glob("data/*/*/.unfinished_*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"Traceback" not in errors
    left = [path for path in tmp_path.glob("**/*") if path.is_file() and "photos" not in path.parts]
    assert all(path.name == ".lock" for path in left)


# the real data


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
def test_mnist_is_prepared_from_its_archives_and_verified(command, archives):
    words = ["mnist", f"manual_dir={archives}", "data_dir=data", "--json"]
    prepared = command("data", "prepare", *words)
    assert prepared.returncode == 0, prepared.stderr
    assert json.loads(prepared.stdout)["splits"]["test"] == {"images": 10_000, "origin": "official"}
    verified = command("data", "verify", *words)
    assert verified.returncode == 0, verified.stderr
    found = json.loads(verified.stdout)
    assert found["splits"]["test"]["classes"]["5"] == 892
    assert (found["broken"], found["leaks"], found["duplicates"]) == ([], [], [])
    listed = json.loads(command("data", "list", "data_dir=data", "--json").stdout)
    assert listed["dataset"]["mnist"]["here"] == "prepared"


@pytest.mark.slow
def test_cifar10_is_verified_in_less_than_a_minute_of_a_processor(command, cifar10_dir):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = command("data", "verify", "cifar10", f"data_dir={cifar10_dir}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert after.ru_utime - before.ru_utime < 60
    assert re.search(r"all +45,000 +5,000 +10,000", done.stdout)
