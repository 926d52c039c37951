"""`cnntrain plan`: counted right, before anything is trained or prepared."""

import itertools
import json
import time
from types import SimpleNamespace

import numpy as np
import pytest

from cnntrain.cli.main import main
from cnntrain.data.image_sizes import SizeSpan
from cnntrain.planning.text_chart import HEIGHT, WIDTH, draw_text_chart
from cnntrain.spec import option_files

GIB = 2**30
# Within 20 % of what a real step makes a fresh process grow by: the three.
MEASURED = {
    "resnet50 at 64 pixels": ["model=resnet50", "dataset.image_size=[64,64]"],
    "resnet50 at 128 pixels": ["model=resnet50", "dataset.image_size=[128,128]"],
    "vgg16 at 32 pixels": ["model=vgg16"],
}
# What is allowed and rarely meant, and a word of the answer.
PITFALLS = {
    "batch_norm_momentum=0.99 model=resnet20_v1 epochs=5": "still the initial ones",
    "optimizer=muon model=lenet5": "try optimizer.normalise=false",
    "optimizer=sgd optimizer.weight_decay=5e-4": "optimizer.l2",
    "model=mlp_256_128 model.activation=selu": "lecun_normal",
    "model=vgg16 model.batch_norm=false dataset.image_size=[32,32]": "chance loss",
    "finetune=head": "random weights",
    "model=mobilenet model.weights=imagenet dataset.channels=3 finetune=head": "another scale",
    "precision=mixed_float16": "slower than float32",
    "epochs=1": "few to learn from",
    "dataset=cifar10 dataset.image_size=[512,512] model=lenet5": "dataset.limit",  # no files
}


@pytest.fixture
def plan(capsys):
    """Return a function that runs `cnntrain plan … --json` and returns its answer."""

    def ask(*words):
        with pytest.raises(SystemExit) as ended:
            main(["plan", *words, "--json"])
        assert ended.value.code == 0
        return json.loads(capsys.readouterr().out)

    return ask


# What is counted.


def test_a_plan_is_what_the_run_then_is(plan, train):
    words = ["epochs=2", "batch_size=64", "dataset.fraction=0.5", "model=cnn_mnist"]
    planned = plan(*words)
    said = []
    run, report = train(*words, said=said)
    assert planned["total_steps"] == report["steps"]
    assert planned["parameters"] == report["parameters"]["total"]
    assert planned["sizes"] == run.read_run_json()["data"]["sizes"]


def test_the_text_is_short_and_fits_a_terminal(capsys):
    with pytest.raises(SystemExit):
        main(["plan", "schedule=cosine", "--layers"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert "61,706" in "\n".join(lines)
    assert len(lines) < 60


@pytest.mark.parametrize("option", sorted(option_files.find_option_files("schedule")))
def test_every_schedule_has_a_curve(plan, option):
    curve = plan(f"schedule={option}", "model=mlp_256_128", "epochs=10")["learning_rate"]
    assert len(curve) > 50
    assert all(rate >= 0 for _, rate in curve)
    assert curve[-1][0] == 99


def test_phases_have_curves_of_their_own(plan):
    found = plan("finetune=two_phase", "finetune.head_epochs=1", "epochs=3", "model=cnn_mnist")
    assert found["phases"] == [10, 20]
    assert len({step for step, _ in found["learning_rate"]}) == 30


def test_a_plan_says_how_images_grow(capsys, plan):
    words = ("model=cnn_relu", "model.head=average", "image_sizes=[[24,50%]]")
    assert plan(*words)["image_sizes"] == [
        {"size": [24, 24], "end": 10}, {"size": [32, 32], "end": None}
    ]  # fmt: skip
    with pytest.raises(SystemExit):
        main(["plan", *words])
    assert "of 24x24 pixels for 10 epochs, then of 32x32" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["plan", words[-1]])
    assert "lenet5 and its normalisation do not take images of 24x24" in capsys.readouterr().err


def test_a_chart_is_as_high_as_the_rate():
    lines = draw_text_chart([(0, 0.0), (50, 1.0), (99, 1.0)], 100).splitlines()
    assert len(lines) == HEIGHT + 1
    columns = [line[11:].ljust(WIDTH) for line in lines[:HEIGHT]]
    assert columns[0][0] == " "
    assert columns[0][-1] == "█"
    assert columns[-1][0] == " "
    assert columns[-1][-1] == "█"


# The data before it is here.


@pytest.mark.parametrize("option", sorted(option_files.find_option_files("dataset")))
def test_every_data_set_that_says_what_it_holds_adds_up(spec, option):
    from cnntrain.planning.dataset_outline import read_option_facts
    from cnntrain.spec.about import DatasetAbout, read_option

    file = option_files.find_option_files("dataset")[option]
    about = read_option(file, DatasetAbout)[1]
    if about.images is None:
        pytest.skip("it says nothing: whatever the user has")
    facts = read_option_facts(file, spec(f"dataset={option}").dataset)
    assert facts.parts == about.images
    assert len(facts.class_names) == about.num_classes
    assert facts.shape == about.image_shape


def test_data_set_that_is_not_here_is_planned_with_its_slices(spec):
    from cnntrain.planning.dataset_outline import read_option_facts

    file = option_files.find_option_files("dataset")["oxford_flowers102"]
    slices = ("dataset.slices.train=train+test[:50%]", "dataset.slices.test=test[50%:]")
    facts = read_option_facts(file, spec("dataset=oxford_flowers102", *slices).dataset)
    assert facts.parts == {"train": 1020 + 3074, "valid": 1020, "test": 3075}


def test_a_prepared_data_set_says_the_same_as_its_file(plan, cifar10_dir):
    here = plan("dataset=cifar10", f"data_dir={cifar10_dir}", "model=cnn_cifar")
    away = plan("dataset=cifar10", "data_dir=nowhere", "model=cnn_cifar")
    assert "not prepared" in away["data"]
    assert "not prepared" not in here["data"]
    for fact in ("image_shape", "num_classes", "sizes"):
        assert here[fact] == away[fact]


def test_classes_and_label_maps_are_counted_before_the_data_is_here(plan):
    few = plan(
        "dataset=cifar10", "data_dir=nowhere", "dataset.classes=[cat,dog]", "model=cnn_cifar"
    )
    assert few["num_classes"] == 2
    assert few["sizes"] == {"train": 5000, "valid": 5000, "test": 2000}


def test_a_folder_is_counted_as_it_is(plan, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(20):
            (tmp_path / name / f"{number}.jpg").write_bytes(b"")
    found = plan("dataset=image_folder", f"dataset.folder={tmp_path}", "batch_size=4")
    assert sum(found["sizes"].values()) == 40
    assert found["image_shape"] == [64, 64, 3]


def test_a_data_set_of_unknown_size_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["plan", "dataset=tfds", "dataset.tfds=food101", "dataset.image_size=[64,64]"])
    assert ended.value.code == 2
    assert "cnntrain data prepare tfds dataset.tfds=food101" in capsys.readouterr().err


# Memory.


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURED)
def test_memory_is_within_20_percent_of_a_real_step(command, cifar10_dir, name):
    words = ["dataset=cifar10", f"data_dir={cifar10_dir}", "batch_size=64", *MEASURED[name]]
    ended = command("plan", *words, "--measure", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["measured"]["growth"] == pytest.approx(found["memory"]["step"], rel=0.2)


def test_forward_pass_is_timed_in_batches_of_evaluation(monkeypatch):
    from cnntrain.data.source import Examples
    from cnntrain.planning import benchmark

    sizes, clock = [], itertools.count()  # every look at the clock is a second later
    fit = SimpleNamespace(
        spec=SimpleNamespace(batch_size=4),
        built=SimpleNamespace(network=None),
        devices=SimpleNamespace(xla=False),
    )
    monkeypatch.setattr(
        benchmark, "compile_prediction", lambda *_: lambda images, size: sizes.append(len(images))
    )
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock))
    train = Examples(np.zeros((20, 2, 2, 1), np.uint8), np.zeros(20, np.int32))
    assert benchmark.measure_forward_pass(fit, train) == 1 / 8
    assert set(sizes) == {8}
    assert len(sizes) >= 2


def test_measured_times_of_an_image_are_said():
    from cnntrain.planning.benchmark import StepMeasurement
    from cnntrain.planning.plan_report import format_measured_times

    measured = StepMeasurement(20, 0.128, None, 0.00025, 0.001, False)
    spans = (SizeSpan((24, 24), 5), SizeSpan((48, 48), None))
    fake = SimpleNamespace(
        spec=SimpleNamespace(batch_size=128), steps_per_epoch=10, total_steps=100,
        image_sizes=spans, device_memory=SimpleNamespace(is_gpu=False),
    )  # fmt: skip
    assert "the run 8.0 s (smaller images" in format_measured_times(fake, measured)[2]
    assert format_measured_times(fake, measured)[:2] == [
        "measured over 20 steps: 128 ms a step, 1,000 images/s",
        "an image: 0.250 ms forward, 1.000 ms forward, backward and update",
    ]


def test_batches_that_do_not_fit_are_said_for_each_gpu(plan):
    found = plan(
        "model=resnet50", "dataset=cifar10", "dataset.image_size=[256,256]", "batch_size=64"
    )
    fits = found["memory"]["largest_batch_on_gpu"]
    assert fits["8 GiB"] < 64 <= fits["16 GiB"] < fits["80 GiB"]
    assert found["memory"]["activations_per_image"] > 100 * 2**20


def test_micro_batches_and_half_precision_need_less_and_ema_more(plan):
    def step(*words):
        return plan("model=resnet20_v1", "dataset=cifar10", *words)["memory"]["step"]

    usual = step()
    assert step("accumulate=4") < usual
    assert step("precision=mixed_bfloat16") < usual
    assert step("ema_decay=0.999") > usual
    assert step("optimizer=sgd") < usual  # one slot, not two


def test_too_little_memory_is_said_before_anything_is_allocated(plan, no_memory):
    no_memory(1.7 * GIB)
    found = plan("model=resnet50", "dataset=cifar10", "dataset.image_size=[64,64]")
    assert not found["memory"]["fits"]
    assert "batch_size" in found["warnings"][0]
    assert "accumulate=2" in found["warnings"][0]


def test_the_largest_batch_is_one_that_the_spec_takes(plan):
    found = plan("accumulate=7", "batch_size=70", "model=cnn_mnist")["memory"]
    assert found["largest_batch"] % 7 == 0
    assert all(size % 7 == 0 for size in found["largest_batch_on_gpu"].values())


def test_images_and_features_are_warned_of_apart(plan, no_memory):
    no_memory(0.2 * GIB)
    words = ("dataset=cifar10", "data_dir=nowhere", "model=vgg16", "finetune=head")
    warnings = plan(*words, "dataset.image_size=[64,64]")["warnings"]
    assert any("60,000 images of 64x64 take" in warning for warning in warnings)
    assert any("the features of 45,000 images take" in warning for warning in warnings)


@pytest.mark.parametrize("words", PITFALLS)
def test_pitfalls_are_warned_of(plan, words):
    asked = words.split()
    assert any(PITFALLS[words] in warning for warning in plan(*asked)["warnings"])


def test_the_defaults_are_not_warned_of(plan):
    assert plan("epochs=60")["warnings"] == []


# The verbs.


@pytest.mark.parametrize("verb", ["plan", "doctor"])
def test_help_is_quick(command, verb):
    command(verb, "--help")  # files are cached now, as they are for people
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        ended = command(verb, "--help")
        seconds.append(time.perf_counter() - began)
    assert ended.returncode == 0
    assert "usage" in ended.stdout
    assert min(seconds) < 2


def test_a_verb_refuses_as_all_do(command):
    ended = command("plan", "modle=vgg16")
    assert ended.returncode == 2
    assert "model=vgg16" in ended.stderr
