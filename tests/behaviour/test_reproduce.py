"""`cnntrain reproduce` through the command line: a small recipe, and three real ones."""

import json
import runpy
import signal
import time
from pathlib import Path

import pytest

from cnntrain.recipes.catalogue import list_recipes
from cnntrain.spec.expectation import digest_recipe
from helpers.processes import begin

ROOT = Path(__file__).parents[2]
SMALL = """\
# @package _global_
# A small recipe.
defaults:
  - override /model: lenet5
  - override /dataset: digits
  - override /augmentation: none
  - override /optimizer: adam
  - override /schedule: cosine
  - override /initializer: he_normal
  - override /finetune: none

dataset:
  limit: 200
epochs: {epochs}
batch_size: 20

expect:
  source: a test
  settings: ours
  published: {{test: 0.9}}
  metric: test_best
"""
MEASURED = """\
  measured:
    seeds: [0, 1]
    valid_best: [0.8, 0.8]
    valid_final: [0.8, 0.8]
    test_best: [{accuracy}, {accuracy}]
    test_final: [0.8, 0.8]
    epochs: {epochs}
    seconds: [1, 1]
    cpu_seconds: [1, 1]
    images: {sizes}
    fingerprint: {fingerprint}
    recipe: {recipe}
    device: CPU
    backend: tensorflow
    machine: this
    cores: 2
    versions: {{}}
    date: '2026-11-27'
"""


@pytest.fixture
def write_recipe(tmp_path):
    """Write the small recipe, with or without measured numbers."""

    def write(epochs=3, measured=""):
        folder = tmp_path / "conf" / "experiment"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "small.yaml").write_text(SMALL.format(epochs=epochs) + measured)

    return write


def find_folder(tmp_path):
    [folder] = (tmp_path / "outputs").iterdir()
    return folder


def test_small_recipe_is_trained_and_judged_as_often_as_one_likes(
    command, answer, tmp_path, write_recipe
):
    write_recipe()
    words = ("reproduce", "small", "--config-dir", "conf")
    done = command(*words, "--json")
    assert done.returncode == 3, done.stderr
    listed = json.loads(done.stdout)
    assert "Nobody has measured" in listed["reasons"][0]
    assert [run["seed"] for run in listed["runs"]] == [0]
    folder, mean = find_folder(tmp_path), listed["mean"]
    assert mean > 0.3
    record = json.loads((Path(listed["runs"][0]["folder"]) / "run.json").read_text())
    facts = {"sizes": record["data"]["sizes"], "fingerprint": record["data"]["fingerprint"]}
    for accuracy, epochs, code in ((mean, 3, 0), (mean - 0.3, 3, 1), (mean, 4, 3)):
        digest = digest_recipe(tmp_path / "conf" / "experiment" / "small.yaml")
        measured = MEASURED.format(accuracy=accuracy, epochs=epochs, recipe=digest, **facts)
        write_recipe(measured=measured)
        again = answer("reproduce", "--config-dir", "conf", "--from", str(folder))
        assert again.returncode == code, again.stdout + again.stderr
        assert max(map(len, again.stdout.splitlines()[:-1])) <= 100
    assert "reproduce.html" in again.stdout
    assert "epochs, and ours 4" in (folder / "reproduce.html").read_text()
    other = answer("reproduce", "lenet5_digits", "--from", str(folder))
    assert (other.returncode, "is of small" in other.stderr) == (2, True)
    assert {"reproduce.json", "sweep.html"} <= {file.name for file in folder.iterdir()}


def test_all_recipes_are_listed_with_their_numbers(command):
    done = command("reproduce", "--list", "--json")
    recipes = {recipe["recipe"]: recipe for recipe in json.loads(done.stdout)}
    assert recipes["lenet5_mnist"]["published"] == {"test": 0.9857}
    assert all(recipe["minutes"] for recipe in recipes.values() if recipe["measured"])
    shown = command("reproduce", "--list").stdout.splitlines()
    assert all(any(line.split()[:1] == [name] for line in shown) for name in recipes)


def test_docs_are_what_the_recipes_say():
    written = runpy.run_path(str(ROOT / "scripts" / "recipes.py"))["write_markdown"](list_recipes())
    assert (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8") == written, "make recipes"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "name",
    [
        "lenet5_digits", "mlp_mnist_zeros", "mobilenet_flowers17", "mobilenet_flowers17_two_phase",
        "alexnet_flowers17_ours", "inception_flowers17_ours", "resnet_flowers17_ours",
    ],
)  # fmt: skip
def test_recipe_agrees(command, tmp_path, archives, weights_dir, name):
    words = [f"manual_dir={archives}", f"data_dir={tmp_path / 'data'}"]
    if "mobilenet" in name:
        words.append(f"model.weights={weights_dir / 'mobilenet_7_5_224_tf_no_top.weights.h5'}")
    done = command("reproduce", name, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name} agrees." in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_spoilt_learning_rate_differs(command):
    done = command("reproduce", "lenet5_digits", "optimizer.learning_rate=1e-5")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "lenet5_digits differs." in done.stdout
    assert "with optimizer.learning_rate=1e-5" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_minute_is_too_short_to_compare(command, tmp_path, archives):
    words = (f"manual_dir={archives}", f"data_dir={tmp_path / 'data'}", "epochs=2000")
    done = command("reproduce", "lenet5_mnist", *words, "--minutes", "1")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "was interrupted after" in done.stdout
    assert "cnntrain resume" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_interrupted_reproduction_goes_on(command, tmp_path, write_recipe):
    write_recipe(epochs=400)
    process = begin("reproduce", "small", "--config-dir", "conf", cwd=tmp_path)
    while not [*tmp_path.glob("outputs/*/0_seed=0/history.csv")]:
        time.sleep(0.1)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    folder = find_folder(tmp_path)
    assert command("resume", folder).returncode == 0
    done = command("reproduce", "--config-dir", "conf", "--from", folder)
    assert "Nobody has measured" in done.stdout
    assert json.loads((folder / "reproduce.json").read_text())["runs"][0]["epochs"] == 400


def test_no_time_at_all_is_told_from_a_disagreement(command, tmp_path, write_recipe):
    write_recipe(epochs=500)
    done = command("reproduce", "small", "--config-dir", "conf", "--minutes", "0.001", "--json")
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["verdict"] == "cannot be compared"
