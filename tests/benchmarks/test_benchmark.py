"""The benchmark, on a few images: every way runs, and tables and picture show it."""

import io
import json
from argparse import Namespace
from dataclasses import replace
from importlib.util import find_spec

import pytest
from PIL import Image
from rich.console import Console

from cnntrain.benchmarks import turns
from cnntrain.benchmarks.benchmark import run_benchmark
from cnntrain.benchmarks.figure import write_figure
from cnntrain.benchmarks.report import print_results
from cnntrain.benchmarks.request import INFERENCE_WAYS, PACKAGES, TRAINING_WAYS, check_request
from cnntrain.benchmarks.turns import Timing

INSTALLED = [
    way
    for way in (*TRAINING_WAYS, *INFERENCE_WAYS)
    if all(map(find_spec, PACKAGES.get(way, ((),))[0]))
]


@pytest.fixture(scope="module")
def results():
    """All ways on a small network, without the start-up, which takes processes of their own."""
    flags = {"models": "cnn_cifar", "ways": ",".join(INSTALLED), "rounds": "1", "images": "70"}
    words = ["batch_size=32", "model.filters=[2,2]", "model.hidden=4"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "SETTLE_SECONDS", 0)
        return run_benchmark(check_request(Namespace(overrides=words, config_dir=None, **flags)))


@pytest.fixture
def large_results(results):
    """Figures as large as those of a GPU, several rounds, and what a whole request leaves."""
    timings = [Timing(0.011, 0.010), Timing(0.012, 0.011)]

    def enlarge(comparison, ways):
        many = dict.fromkeys(ways, timings)
        return replace(comparison, images=20_000, timings=many, epoch_ends=[0.1, 0.2])

    return replace(
        results,
        rounds=5,
        training=[enlarge(results.training[0], TRAINING_WAYS)] * 2,
        inference=[enlarge(results.inference[0], INFERENCE_WAYS)],
        startup={"first step": timings},
        notes=("torch is not installed and was left out: pip install torch",),
    )


def test_every_way_has_its_timings_and_the_machine_its_name(results):
    shown = json.loads(json.dumps(results.to_json()))
    assert shown.keys() == {
        "machine", "clock", "rounds", "settings", "training", "inference", "startup", "notes",
    }  # fmt: skip
    assert shown["machine"]["processor"]
    assert {"python", "keras", "tensorflow"} <= shown["machine"]["versions"].keys()
    assert shown["settings"]["cnn_cifar"]["batch_size"] == 32
    (training,), (inference,) = shown["training"], shown["inference"]
    assert [*training["ways"], *inference["ways"]] == INSTALLED
    assert (training["images"], inference["images"]) == (64, 64)  # whole batches
    for way in (*training["ways"].values(), *inference["ways"].values()):
        assert len(way["seconds"]) == 1
        assert way["images_per_cpu_second"]["median"] > 0
    assert training["ways"]["cnntrain"]["ours_over_it"]["median"] == 1
    assert training["ways"]["bare"]["ours_over_it_cpu"]["median"] > 0
    assert training["conditions"] == "batches of 32; augmented: cnntrain (flip_crop), tutorial"


@pytest.mark.parametrize("width", [80, 100])
def test_tables_fit_a_terminal(large_results, width):
    console = Console(width=width, record=True, file=io.StringIO())
    print_results(large_results, console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    assert "1.00 (1.00–1.00)" in text
    assert "1,666,667–1,818,182" in text
    assert "An epoch's end takes 0.150 s (0.100–0.200)" in text
    assert "first step" in text
    assert "torch is not installed" in text


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_figure_has_a_panel_for_each_comparison(large_results, tmp_path, suffix):
    file = tmp_path / f"figure{suffix}"
    write_figure(large_results, file)
    if suffix == ".png":
        with Image.open(file) as picture:
            assert picture.width > picture.height > 300
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_the_command_prints_json_and_nothing_else_to_standard_output(answer, tmp_path):
    words = ("--models", "lenet5", "--ways", "predict", "--rounds", "1", "--images", "32")
    done = answer("bench", *words, "batch_size=32", "--json", "--figure", "figure.png")
    assert done.returncode == 0, done.stderr
    assert [*json.loads(done.stdout)["inference"][0]["ways"]] == ["predict"]
    assert done.stderr.splitlines()[0] == "lenet5, compiling: predict"
    assert (tmp_path / "figure.png").is_file()


def test_a_mistake_is_answered_with_what_to_try(answer):
    done = answer("bench", "--models", "resnet20")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: --models has 'resnet20'\n"
        "  expected  one of lenet5, cnn_cifar, resnet20_v1, resnet18\n"
        "  try       --models resnet20_v1\n"
    )
    assert answer("bench", "--help").stdout.startswith("usage: cnntrain bench")
