"""The zoo: that every option says what it is made for, and that what was counted is true."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from cnntrain.analysis.zoo import COUNTS_FILE, build_unfilled_network, describe_family, list_zoo
from cnntrain.cli.main import main
from cnntrain.errors import SpecError
from cnntrain.spec import option_files
from cnntrain.spec.about import read_paper_network
from cnntrain.terminal.units import abbreviate_number

ROOT = Path(__file__).parents[2]
OPTIONS = sorted(option_files.find_option_files("model"))
FAST = ("mobilenet", "mobilenet_v2", "vgg16_imagenet", "lenet5", "cnn_cifar", "vgg16")
TRY = "python scripts/zoo.py NAME, for each option that is new or has changed; make zoo: for all"
COUNTED = json.loads(COUNTS_FILE.read_text(encoding="utf-8"))


def listed(capsys, *words):
    """What `cnntrain list …` prints."""
    with pytest.raises(SystemExit) as ended:
        main(["list", *words])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.fixture
def own(tmp_path):
    """A folder of a user's own options: one with `about`, one without, two that are wrong."""
    folder = tmp_path / "own" / "model"
    folder.mkdir(parents=True)
    knobs = "name: lenet5\nfilters: [2, 3]\nhidden: [5, 4]\n"
    about = "year: 2026, citation: 'Me 2026', image_shape: [28, 28, 1], num_classes: 10"
    about = f"about: {{{about}, overrides: ['model.hidden=[6,4]']}}\n"
    (folder / "homemade.yaml").write_text(f"# Mine (Me 2026), and small.\n{about}{knobs}")
    (folder / "silent.yaml").write_text(f"# Says nothing more.\n{knobs}")
    (folder / "broken.yaml").write_text("- no\n- mapping\n")
    (folder / "wrong.yaml").write_text(f"# Wrong.\nabout: {{yaer: 2026}}\n{knobs}")
    return str(tmp_path / "own")


# The files.


def test_every_option_says_what_it_is_made_for():
    lacking = []
    for option in OPTIONS:
        try:
            read_paper_network(option_files.CONF / "model" / f"{option}.yaml")
        except SpecError:
            lacking.append(option)
    assert not lacking, "about: {image_shape: [224, 224, 3], num_classes: 1000}"


# What was counted.


def test_no_option_is_missing_and_none_is_of_another_input():
    stale = {known.option for known in list_zoo() if known.parameters is None}
    assert not stale, TRY
    assert set(COUNTED) == set(OPTIONS), TRY


def test_page_is_the_one_of_these_numbers():
    markdown = runpy.run_path(str(ROOT / "scripts" / "zoo.py"))["markdown"]
    assert (ROOT / "docs" / "models.md").read_text(encoding="utf-8") == markdown(list_zoo()), TRY


@pytest.mark.parametrize(
    "option",
    [pytest.param(o, marks=() if o in FAST else pytest.mark.slow) for o in sorted(COUNTED)],
)
def test_numbers_are_true(option):
    from cnntrain.analysis.layer_table import count_totals

    assert count_totals(build_unfilled_network(option)).items() <= COUNTED[option].items(), TRY


def test_families_come_in_order_of_their_first_year_and_are_described():
    entries, first = list_zoo(), {}
    for family in dict.fromkeys(known.family for known in entries):
        years = [known.year for known in entries if known.family == family and known.year]
        first[family] = min(years, default=9999)
    assert list(first.values()) == sorted(first.values())
    assert all(describe_family(family) for family in first)


# The list.


def test_list_of_models_fits_a_hundred_columns_and_names_all(capsys):
    text = listed(capsys, "model")
    assert max(len(line) for line in text.splitlines()) <= 100
    words = text.split()
    assert set(OPTIONS) <= set(words)
    (row,) = [line for line in text.splitlines() if line.startswith("  mobilenet ")]
    for cell in ("2017", "4.254 M", "568.7 M", "224x224x3", "MobileNet: depthwise"):
        assert cell in row


def test_list_of_models_loads_no_tensorflow():
    code = (
        "import sys, cnntrain.cli.main as cli\n"
        "try: cli.main(['list', 'model'])\n"
        "except SystemExit: assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_list_of_models_in_json(capsys):
    found = json.loads(listed(capsys, "model", "--json"))["model"]
    assert set(found) == set(OPTIONS)
    assert found["vgg16_imagenet"] == {
        "what": option_files.summarise_options()["model"]["vgg16_imagenet"],
        "family": "application",
        "year": 2014,
        "image_shape": [224, 224, 3],
        "num_classes": 1000,
        "overrides": ["model.pool=flatten", "model.head=[4096,0.5,4096,0.5]"],
        "parameters": 138_357_544,
        "trainable": 138_357_544,
        "multiply_adds": 15_470_264_320,
        "depth": 16,
        "top_1": 0.713,
        "top_5": 0.901,
    }


def test_applications_are_compared(capsys):
    text = listed(capsys, "applications")
    assert max(len(line) for line in text.splitlines()) <= 80
    rows = [line.split() for line in text.splitlines()]
    expected = ["4.254", "M", "16", "55", "70.4", "89.5", "568.7", "M", "224x224x3"]
    assert ["mobilenet", *expected] in rows
    found = json.loads(listed(capsys, "applications", "--json"))["applications"]
    assert found["xception"]["top_5"] == 0.945
    sizes = [row["parameters"] for row in found.values()]
    assert sizes == sorted(sizes)
    assert set(found) == {known.option for known in list_zoo() if known.family == "application"}
    assert all(row["top_1"] for row in found.values())


def test_options_of_a_user_are_listed_with_dashes(capsys, own):
    lines = listed(capsys, "model", "--config-dir", own).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ")}
    assert rows["homemade"][:4] == ["2026", "–", "–", "28x28x1"]
    assert rows["silent"][:4] == ["–", "–", "–", "–"]
    assert rows["homemade"][4:] == ["Mine,", "and", "small."]
    assert rows["broken"][:4] == rows["wrong"][:4] == ["–", "–", "–", "–"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (44_426, "44.43 k"),
        (999_999, "1.000 M"),
        (138_357_544, "138.4 M"),
        (15_470_264_320, "15.47 G"),
    ],
)
def test_numbers_are_shortened_to_four_digits(number, text):
    assert abbreviate_number(number) == text


# The layers.


def test_layers_of_a_network(capsys):
    text = listed(capsys, "model", "vgg16_imagenet")
    (row,) = [line.split() for line in text.splitlines() if "block5_pool" in line]
    assert row == ["block5_pool", "MaxPooling2D", "2x2/2", "7x7x512", "0", "0", "212", "32"]
    assert "138,357,544 parameters" in text
    assert "15,470,264,320 multiply-adds" in text
    assert "receptive field of 212 pixels" in text
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("option", ["cnn_tanh", "convnext_tiny"])
def test_layers_fit_eighty_columns_without_a_terminal(capsys, option):
    text = listed(capsys, "model", option)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert ("Activation tanh" in text) == (option == "cnn_tanh")


@pytest.mark.parametrize(
    ("words", "shape", "classes", "overrides"),
    [
        (["dataset.image_size=[64,48]", "classes=17"], [64, 48, 3], 17, ["model.hidden=4096"]),
        (["dataset.channels=1", "model.hidden=8"], [224, 224, 1], 1000, ["model.hidden=8"]),
        (["dataset=mnist", "dataset.image_size=[32,32]"], [32, 32, 1], 10, []),
        (["dataset=digits", "classes=3"], [32, 32, 1], 3, []),
    ],
)
def test_layers_for_other_images_and_classes(capsys, words, shape, classes, overrides):
    found = json.loads(listed(capsys, "model", "vgg11", *words, "--json"))
    assert (found["image_shape"], found["num_classes"]) == (shape, classes)
    assert set(overrides) <= set(found["overrides"])
    assert bool(found["overrides"]) == bool(overrides)
    assert found["layers"][0]["output"][:2] == shape[:2]
    assert found["layers"][-1]["output"] == [classes]


def test_graph_is_drawn_beside_the_table(capsys, tmp_path):
    file = tmp_path / "lenet5.svg"
    assert f"{file.name}\n" in listed(capsys, "model", "lenet5", "--diagram", str(file))
    assert file.read_text().count("<g>") == 8


def test_layers_in_json_with_overrides(capsys):
    found = json.loads(listed(capsys, "model", "mobilenet", "model.alpha=0.25", "--json"))
    assert found["overrides"] == ["model.alpha=0.25"]
    assert found["not_counted"] == []
    assert found["receptive_field"] == [315, 315]
    assert found["parameters"] == sum(row["parameters"] for row in found["layers"])
    assert found["layers"][1] == {
        "layer": "conv1",
        "kind": "Conv2D",
        "window": "3x3/2",
        "activation": None,
        "setting": None,
        "what": "Conv2D 3x3/2",
        "inputs": [0],
        "output": [112, 112, 8],
        "parameters": 216,
        "multiply_adds": 112 * 112 * 216,
        "receptive_field": [3, 3],
        "stride": [2, 2],
    }


def test_layers_of_a_users_own_option(capsys, own):
    found = json.loads(listed(capsys, "model", "homemade", "--config-dir", own, "--json"))
    assert (found["image_shape"], found["num_classes"]) == ([28, 28, 1], 10)
    assert found["layers"][-2]["output"] == [4]


@pytest.mark.slow
def test_layers_are_listed_without_chatter(command):
    done = command("list", "model", "efficientnet_b0")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "given", "hint"),
    [
        ("list model mobilnet", "mobilnet is no option", "cnntrain list model mobilenet"),
        ("list vgg16", "vgg16 is not a group", "cnntrain list model vgg16"),
        ("list aplications", "aplications is not a group", "cnntrain list applications"),
        ("list applications vgg16", "applications is not a group", None),
        ("list optimizer adam", "adam follows the group optimizer", "cnntrain list optimizer"),
        ("list model mobilenet alpha=0.25", "alpha=0.25", "model.alpha=0.25"),
        ("list model mobilenet optimizer=sgd", "optimizer=sgd", None),
        ("list model mobilenet image_size=[9,9]", "image_size=[9,9]", "dataset.image_size=[9,9]"),
        ("list model mobilenet clases=3", "clases=3", "classes=3"),
        ("list model mobilenet classes=0", "classes is 0", None),
        ("list model mobilenet classes=3,4", "names several values", None),
        ("list model mobilenet dataset.image_size=64", "dataset.image_size is 64", None),
        ("list model mobilenet dataset=mnits", "dataset is mnits", "dataset=mnist"),
        ("list model --diagram x.svg", "no network is named", None),
        ("list model lenet5 --diagram x.png", "--diagram is x.png", "--diagram lenet5.svg"),
        ("list model lenet5 --diagram no/x.svg", "no, the folder of the picture", None),
        ("list model mobilenet dataset.limit=3", "dataset.limit=3", None),
        ("list model mobilenet model.alhpa=0.25", "model.alhpa", "model.alpha=0.25"),
        ("list model mobilenet model.alpha=-1", "model.alpha is -1", None),
        ("list model silent --config-dir OWN", "silent.yaml does not say which network", None),
        ("list model broken --config-dir OWN", "broken.yaml", None),
        ("list model wrong --config-dir OWN", "wrong.yaml: about.yaer is not", None),
        (
            "list model homemade model.about.year=3 --config-dir OWN",
            "model.about.year is not",
            None,
        ),
    ],
)
def test_mistake_is_answered(capsys, own, words, given, hint):
    with pytest.raises(SystemExit) as ended:
        main([own if word == "OWN" else word for word in words.split()])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert given in said
    assert "expected" in said
    assert hint is None or f"try       {hint}" in said
