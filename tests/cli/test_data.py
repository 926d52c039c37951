"""`cnntrain data`: what there is, made ready and shown, as a user has it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from cnntrain.spec import option_files
from cnntrain.spec.about import DatasetAbout, read_option
from helpers.tiny import write_photos

FILES = option_files.find_option_files("dataset")


FOLDER = "image_folder dataset.folder=photos dataset.image_size=[16,16]"


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
        (
            "preview digits --output nowhere/x.png",
            "nowhere, the folder of the picture, does not",
            None,
        ),
        ("preview digits --output x.jpg", "--output is x.jpg", None),
        ("preview digits --output there.png", "there.png, which already exists", None),
        ("preview there.png digits", "there.png and digits are both", None),
        ("preview there.png dataset=digits", "there.png and dataset=digits are both", None),
        ("preview there.png", "no image of a known format", None),
        ("preview there.png augmentaton=color", "augmentaton", "augmentation=color"),
        ("preview photo.jpg", "photo.jpg is not there", None),
        ("verify digits --values", "--values is not for data verify", None),
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


def test_prepare_says_what_is_ready_and_how_to_train_on_it(data):
    code, out, _ = data("prepare digits dataset.limit=100 'dataset.image_size=[16,16]'")
    assert code == 0
    assert out.splitlines()[0] == "digits is ready: 300 images of 16x16x1, 10 classes"
    assert "cut from train, stratified, split_seed=0" in out
    words = "cnntrain dataset=digits dataset.limit=100 'dataset.image_size=[16,16]'"
    assert out.splitlines()[-1] == f"Train on it: {words}"


def test_prepare_names_what_it_left_out_and_where_the_decoded_photos_are(data, tmp_path):
    (write_photos(tmp_path / "photos") / "cat" / "notes.jpg").write_text("no image")
    code, out, _ = data(f"prepare {FOLDER} dataset.cache=disk --json")
    found = json.loads(out)
    assert code == 0
    assert {split: part["images"] for split, part in found["splits"].items()} == {
        "train": 17, "valid": 2, "test": 5,
    }  # fmt: skip
    assert found["skipped"][0]["file"] == "cat/notes.jpg"
    assert Path(found["places"]["decoded"]).is_file()
    assert "cat/notes.jpg: no image" in data(f"prepare {FOLDER}")[1]


def test_preview_draws_a_new_picture_each_time(data, tmp_path):
    words = "preview digits dataset.limit=40 augmentation=shift_flip"  # fewer than a batch
    code, out, err = data(words)
    assert (code, err) == (0, "")
    assert out.endswith("pixels in preview_digits.png\n")
    with Image.open(tmp_path / "preview_digits.png") as sheet:
        assert sheet.format == "PNG"
        assert 500 < sheet.size[0] < 2000
    assert [path.name for path in tmp_path.iterdir()] == ["preview_digits.png"]
    assert data(words)[1].split()[-1] == "preview_digits_2.png"
    assert data(f"{words} --output mine.png")[1].endswith(" mine.png\n")


def test_preview_of_photos_shows_what_augmentation_makes_of_them(data, tmp_path):
    for name in "ab":
        Image.new("RGB", (90, 60), "red").save(tmp_path / f"{name}.png")
    one = "preview a.png augmentation=flip_crop dataset.image_size=[32,32]"
    assert data(one)[::2] == (0, "")
    assert data(f"{one} b.png --output both.png")[1].endswith(" pixels in both.png\n")
    assert data(f"{one} --values --output values.png")[0] == 0
    assert "128x128" in data("preview a.png --values dataset.image_size=[128,128]")[2]
    sizes = {file.stem: Image.open(file).size for file in tmp_path.glob("*.png")}
    assert sizes.keys() == {"a", "b", "preview_a", "both", "values"}
    assert sizes["values"][0] == 32 * 28 + 32  # a cell for each pixel, and the margins


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
    write_photos(tmp_path / "photos", count=150)
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
