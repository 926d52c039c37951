"""`minutes`: epochs that fit into a budget, found before the run begins and kept in its spec."""

import json

import pytest
import yaml

from cnntrain.errors import SpecError
from cnntrain.planning import time_budget
from cnntrain.planning.auto_settings import resolve_auto_settings
from cnntrain.planning.plan import plan_run
from cnntrain.planning.time_budget import EpochTimer, PhaseTime, count_epochs
from cnntrain.spec.build import build_provisional_spec, build_spec
from cnntrain.spec.compose import compose_config
from helpers.tiny import write_photos


def resolve(*words):
    config = compose_config(words).config
    return resolve_auto_settings(config, build_provisional_spec(config), None)


@pytest.fixture
def measured(monkeypatch):
    """Let phases take what a test says: measured(PhaseTime(…), …), with 1 ms an image forward."""

    def take(*phases):
        monkeypatch.setattr(time_budget, "measure_phases", lambda *_: (list(phases), 0.001))

    return take


@pytest.mark.parametrize(
    ("seconds", "each", "lengths", "epochs"),
    [
        (100, [10], [None], 10),
        (5, [10], [None], 0.5),
        (100, [10, 20], [5, None], 7.5),
        (40, [10, 20], [5, None], 4),
        (100, [10], [3], 3),
        (-5, [10], [None], -0.5),
    ],
)
def test_epochs_of_phases_add_up_to_the_budget(seconds, each, lengths, epochs):
    assert count_epochs(seconds, each, lengths) == epochs


def test_steps_and_ends_of_epochs_are_timed_apart(monkeypatch):
    times = iter([0, 5, 6, 7, 9, 10, 11, 13, 14, 15])
    monkeypatch.setattr(time_budget.time, "perf_counter", lambda: next(times))
    timer = EpochTimer(max_seconds=100)
    for number in range(9):  # three steps an epoch; a step takes 1 s, and the end of an epoch 1
        timer.step(1 + number // 3, number, 0, {})
    assert (timer.start_seconds, timer.step_seconds, timer.end_seconds) == (5, 1, 1)


def test_a_short_measurement_has_three_epochs_at_least():
    timer = EpochTimer(max_seconds=0)
    for epoch in (1, 2):
        timer.step(epoch, epoch, 0, {})
    with pytest.raises(time_budget.EnoughSteps):
        timer.step(3, 3, 0, {})


def test_the_spec_holds_epochs_and_no_minutes(measured):
    measured(PhaseTime(None, 1.0, 0.1, 0.5, False))  # 10 steps of 0.1 s an epoch, and its end
    config, spec, notes = resolve("minutes=1")
    assert config["minutes"] is None
    assert config["epochs"] == spec.epochs
    # 54 s, less the page, the start and the images at the end; an epoch takes 1.64 s.
    assert spec.epochs == pytest.approx((54 - 5 - 1 - 2 * 0.503) / 1.644, abs=4)
    assert notes == [f"minutes is 1: epochs={spec.epochs}, {notes[0].partition(', ')[2]}"]
    same = build_spec(compose_config([f"epochs={spec.epochs}"]).config)
    assert spec.hash == same.hash
    assert spec.config == same.config


def test_growing_images_and_a_refit_count(measured):
    measured(PhaseTime(None, 1.0, 0.1, 0.5, False))
    plain = resolve("minutes=2")[1].epochs
    words = ("model=resnet20_v1", "minutes=2")
    assert resolve(*words, "image_sizes=[[16,50%]]")[1].epochs > 1.2 * resolve(*words)[1].epochs
    assert resolve("minutes=2", "refit=true")[1].epochs < 0.6 * plain


def test_each_phase_takes_its_time(measured):
    measured(PhaseTime(3, 1.0, 0.01, 0, False), PhaseTime(None, 1.0, 1.0, 0, False))
    words = ("finetune=two_phase", "finetune.head_epochs=3")
    spec = resolve(*words, "minutes=2")[1]
    assert 3 < spec.epochs < 14
    with pytest.raises(SpecError, match=r"time for [23] epochs, and finetune.head_epochs is 3"):
        resolve(*words, "minutes=0.3")


def test_a_phase_of_one_epoch_is_measured_over_several():
    words = ("finetune=two_phase", "finetune.head_epochs=1", "dataset.limit=100")
    assert resolve(*words, "minutes=1")[1].epochs > 1


def test_too_few_minutes_are_answered_with_what_is_possible(measured):
    measured(PhaseTime(None, 1.0, 6.0, 0, False))  # an epoch takes a minute
    with pytest.raises(SpecError, match="an epoch takes about 1 min 0") as refused:
        resolve("minutes=0.5")
    assert refused.value.hint.startswith("minutes=null max_steps=")
    steps = int(refused.value.hint.partition("max_steps=")[2].partition(",")[0])
    assert 1 <= steps <= 4
    enough = refused.value.expected.partition("minutes=")[2]
    assert resolve(f"minutes={enough}")[1].epochs == 1
    with pytest.raises(SpecError) as refused:
        resolve("minutes=0.05")
    assert "smaller network" in refused.value.hint


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("minutes=2 epochs=3", "minutes and epochs are both given"),
        ("minutes=2 max_steps=3", "minutes is 2 and max_steps is 3"),
        ("minutes=0", "minutes is 0"),
        ("minutes=soon", "minutes is soon"),
        ("minutes=2 distribution=mirrored", "minutes is 2, which knows one device"),
    ],
)
def test_contradictions_are_answered(words, given):
    with pytest.raises(SpecError) as refused:
        resolve(*words.split())
    assert refused.value.given.startswith(given)


def test_a_frozen_spec_has_no_minutes():
    with pytest.raises(SpecError, match="only the beginning of a run turns into epochs"):
        build_spec(compose_config(["minutes=2"]).config)


def test_real_steps_are_measured():
    began = time_budget.time.perf_counter()
    _, spec, (note,) = resolve("minutes=0.5", "dataset.limit=300")
    assert time_budget.time.perf_counter() - began < 20
    assert spec.epochs > 5
    assert "an epoch takes" in note


def test_every_phase_is_measured():
    config = compose_config(["finetune=two_phase", "finetune.head_epochs=2"]).config
    plan = plan_run(build_spec(config), None)
    phases, forward = time_budget.measure_phases(plan, config, 1.0)
    assert [phase.epochs for phase in phases] == [2, None]
    assert [phase.features_once for phase in phases] == [True, False]
    assert phases[0].step < phases[1].step
    assert forward > 0


@pytest.mark.slow
def test_a_run_keeps_its_budget_and_repeats_bit_for_bit(command, tmp_path):
    ended = command("minutes=0.5", "model=cnn_mnist", "threads=1", "hydra.run.dir=budget")
    assert ended.returncode == 0, ended.stderr
    report = json.loads((tmp_path / "budget" / "report.json").read_text())
    assert 8 < report["seconds"]["total"] < 30
    spec = yaml.safe_load((tmp_path / "budget" / "spec.yaml").read_text())
    assert spec["minutes"] is None
    assert f"minutes is 0.5: epochs={spec['epochs']}," in ended.stdout
    words = ("model=cnn_mnist", "threads=1", f"epochs={spec['epochs']}", "hydra.run.dir=again")
    assert command(*words).returncode == 0
    again = json.loads((tmp_path / "again" / "report.json").read_text())
    assert again["test"] == report["test"]


def test_waiting_for_photos_counts(measured, monkeypatch):
    measured(PhaseTime(None, 1.0, 0.1, 0, False))
    fast = resolve("minutes=1")[1].epochs
    monkeypatch.setattr(time_budget, "measure_photos", lambda plan: (0.0, 1.0))  # a step waits 1 s
    assert resolve("minutes=1")[1].epochs < fast / 5


def test_photos_that_are_decoded_first_take_their_time(tmp_path):
    write_photos(tmp_path / "photos", count=40)
    words = ["dataset=image_folder", f"dataset.folder={tmp_path / 'photos'}"]
    plan = plan_run(build_spec(compose_config(words).config), None)
    before, waiting = time_budget.measure_photos(plan)
    assert 0 < before < 5
    assert waiting == 0
    digits = plan_run(build_spec(compose_config([]).config), None)
    assert time_budget.measure_photos(digits) == (0, 0)
