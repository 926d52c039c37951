"""A run goes on where it stopped, and beyond where it would have ended, or says why it cannot."""

import json
import shutil

import pytest

from cnntrain.errors import SpecError
from cnntrain.running.resume import read_resumed_run, reopen_run
from cnntrain.runs.directory import Run
from cnntrain.spec.compose import compose_config
from cnntrain.training.trainer import train_run
from helpers.run_files import SHORT, read_rows


def test_run_without_a_checkpoint_begins_again(left_behind, answer):
    folder = left_behind("run", *SHORT, accuracies=[], status="running")  # killed as it began
    assert answer("resume", "run").returncode == 0
    assert len(read_rows(Run(folder))) == 2


def test_run_at_work_is_not_resumed_by_another(spec, tmp_path, silent):
    run = Run.claim(tmp_path / "run", compose_config(SHORT).config, SHORT)

    class Intruding(silent):
        def epoch(self, row):
            super().epoch(row)
            with pytest.raises(SpecError, match="another process"):
                reopen_run(read_resumed_run(str(run.folder), []))

    progress = Intruding()
    train_run(spec(*SHORT), run, progress)
    assert len(progress.rows) == 2


def test_spec_that_another_process_changes_meanwhile_is_not_trained(left_behind):
    folder = left_behind("run", *SHORT, accuracies=[], status="interrupted")
    resumed = read_resumed_run(str(folder), [])
    spec = folder / "spec.yaml"
    spec.write_text(spec.read_text().replace("epochs: 2", "epochs: 40"))
    with pytest.raises(SpecError, match="has just been changed"):
        reopen_run(resumed)


def read_seconds(folder):
    return json.loads((folder / "report.json").read_text())["seconds"]


def test_more_epochs_keep_the_curve_or_stretch_it(tmp_path, answer):
    assert answer(*SHORT, "log_every=1", "hydra.run.dir=kept").returncode == 0
    assert "finished" in answer("resume", "kept").stdout
    before = read_seconds(tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", tmp_path / "stretched")
    rates = {}
    for name, extra in [("kept", ()), ("stretched", ("replan=true",))]:
        assert answer("resume", name, "epochs=4", *extra).returncode == 0
        assert len(read_rows(Run(tmp_path / name))) == 4
        rows = read_rows(Run(tmp_path / name), "steps.csv")
        rates[name] = [row["learning_rate"] for row in rows]
        now, page = read_seconds(tmp_path / name), (tmp_path / name / "report.html").read_text()
        parts = sum(now[part] for part in ("start", "data", "build", "train", "test"))
        assert now["total"] == pytest.approx(parts, abs=0.01)
        assert before["steps"] < now["steps"] < now["train"] > before["train"]
        assert f"cnntrain resume RUN {' '.join(('epochs=4', *extra))}" in page
    assert rates["kept"][8:] == [rates["kept"][7]] * 8
    assert rates["stretched"][8] > rates["kept"][7]
    assert rates["stretched"][15] < rates["stretched"][8]


@pytest.mark.slow
@pytest.mark.parametrize("ended", ["max_steps=6", "max_steps=13"], ids=["in the first", "later"])
def test_two_phases_that_are_extended_are_as_long_as_planned(tmp_path, answer, ended):
    words = (
        "finetune=two_phase", "finetune.head_epochs=3", "epochs=5", "schedule=constant",
        "dataset.limit=128", "batch_size=32", "log_every=1",
    )  # fmt: skip
    assert answer(*words, ended, "hydra.run.dir=run").returncode == 0
    assert answer("resume", "run", "max_steps=null").returncode == 0
    rates = [row["learning_rate"] for row in read_rows(Run(tmp_path / "run"), "steps.csv")]
    assert rates == pytest.approx([1e-3] * 12 + [1e-5] * 8)


@pytest.mark.slow
def test_weights_to_begin_with_may_go_once_the_run_has_begun(tmp_path, answer):
    assert answer(*SHORT, "hydra.run.dir=base").returncode == 0
    words = (*SHORT, "init_from=base", "finetune=head", "refit=true")
    assert answer(*words, "hydra.run.dir=run").returncode == 0
    (tmp_path / "base").rename(tmp_path / "gone")
    done = answer("resume", "run", "epochs=4")
    assert done.returncode == 0, done.stderr
    assert len(read_rows(Run(tmp_path / "run"))) == 4


@pytest.mark.slow
def test_refit_of_an_extended_run_is_the_same_whether_or_not_it_was_made_before(tmp_path, answer):
    words, found = (*SHORT, "refit=true"), {}
    for name in ("kept", "removed"):
        assert answer(*words, f"hydra.run.dir={name}").returncode == 0
        if name == "removed":
            shutil.rmtree(tmp_path / name / "refit")
        assert answer("resume", name, "epochs=4").returncode == 0
        rows = read_rows(Run(tmp_path / name), "refit/history.csv")
        timed = ("seconds", "images_per_second")
        found[name] = [{k: v for k, v in row.items() if k not in timed} for row in rows]
    assert found["kept"] == found["removed"]


@pytest.fixture(scope="module")
def short_run(training):
    return training(*SHORT).folder


@pytest.fixture
def finished(short_run, tmp_path):
    """A run of eight steps that has finished, in `run`."""
    return shutil.copytree(short_run, tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("nowhere",), "nowhere is not there"),
        ((), "no run is named"),
        (("run", "model=vgg16"), "model cannot change"),
        (("run", "seed=1"), "seed cannot change"),
        (("run", "epochs=1"), "8 steps and is to end after 4"),
        (("run", "epochs=-1"), "epochs is -1"),
    ],
)
def test_what_cannot_be_resumed_is_answered(finished, answer, words, given):
    done = answer("resume", *words)
    assert done.returncode == 2
    assert given in done.stderr
    assert json.loads((finished / "run.json").read_text())["status"] == "finished"
    assert answer("resume", "run").returncode == 0


def test_edited_spec_is_refused_with_what_differs(finished, answer):
    spec = finished / "spec.yaml"
    spec.write_text(spec.read_text().replace("seed: 0", "seed: 1"))
    done = answer("resume", "run", "epochs=3")
    assert done.returncode == 2
    assert "of another spec: " in done.stderr
    assert "seed" in done.stderr


def test_more_epochs_of_a_run_that_max_steps_ended_are_answered(left_behind):
    planned = {"steps": 20, "steps_per_epoch": 10}
    folder = left_behind("a", "max_steps=20", planned=planned)
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state" / "last.state").touch()
    run, notes = reopen_run(read_resumed_run(str(folder), ["epochs=99"]))
    assert run.read_run_json()["status"] == "finished"
    assert "max_steps=20 ends it, whatever epochs is; max_steps=N goes on beyond" in notes[0]


def test_run_that_goes_on_with_other_versions_or_another_device_warns(finished, answer):
    record = json.loads((finished / "run.json").read_text())
    record["versions"]["numpy"], record["processor"] = "2.0.0", "Another CPU"
    record["device"]["threads"] = 64
    (finished / "run.json").write_text(json.dumps(record))
    done = answer("resume", "run", "epochs=3")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert "numpy was 2.0.0 and is " in said
    assert "keras was" not in said
    assert "processor was Another CPU and is" in said
    assert "Warning: the run began with threads 64 and resumes with threads " in said


def test_run_that_goes_on_as_it_began_does_not_warn_of_its_machine(finished, answer):
    done = answer("resume", "run", "epochs=3")
    assert (done.returncode, "may differ" in done.stdout) == (0, False)
