"""Search with Optuna: its space, its trials and results, and resuming a search."""

import json
import shlex
import signal
import sqlite3

import pytest

from cnntrain.errors import SpecError
from cnntrain.spec.overrides import parse_overrides
from cnntrain.sweeps.expand import Axis, parse_axes
from helpers.processes import begin, finished, mtimes, statuses, wait_until

optuna = pytest.importorskip("optuna", minversion="4.5")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed=range(1,7,2)", Axis("seed", low=1, high=5, step=2, is_integer=True)),
        ("batch_size=choice(32,64)", Axis("batch_size", ("32", "64"))),
        ("model=vgg11,lenet5", Axis("model", ("vgg11", "lenet5"))),
        ("initializer=glob(he_*)", Axis("initializer", ("he_normal", "he_uniform"))),
        ("ema_decay=interval(0.1,0.9)", Axis("ema_decay", low=0.1, high=0.9)),
        ("x=tag(log, interval(1e-4, 1e-1))", Axis("x", low=1e-4, high=1e-1, log=True)),
        ("x=int(interval(2, 9))", Axis("x", low=2, high=9, is_integer=True)),
    ],
)
def test_space_is_written_in_hydras_grammar(text, expected):
    assert parse_axes(parse_overrides([text])) == [expected]


@pytest.mark.parametrize("text", ["x=3", "x=interval(3,1)", "x=tag(log,interval(0,1))"])
def test_an_override_without_a_range_is_refused(text):
    with pytest.raises(SpecError):
        parse_axes(parse_overrides([text]))


@pytest.fixture
def trials(tmp_path):
    """Return a function that begins a search over two keys in a folder, or resumes it."""
    from cnntrain.sweeps.directory import Sweep
    from cnntrain.sweeps.optuna_search import SearchJobs, parse_search_settings

    config = {"n_trials": 6, "seed": 0, "sampler": "tpe", "random_trials": 2, "pruner": "median",
              "prune_from_trial": 2, "prune_from_epoch": 1, "params": {}}  # fmt: skip
    space = ["optimizer.learning_rate=tag(log,interval(1e-4,1))", "batch_size=choice(32,64)"]
    keys = [text.partition("=")[0] for text in space]
    plan = {"overrides": [], "varied": keys, "fixed": ["seed=1"], "flags": []}

    def make(folder: str = "sweep", n_trials: int = 6):
        config["n_trials"] = n_trials
        path = tmp_path / folder
        sweep = Sweep(path) if path.exists() else Sweep.begin(path, plan, [])
        sweep.plan = plan
        axes = parse_axes(parse_overrides(space))
        return SearchJobs(sweep, parse_search_settings(config), axes, "valid.accuracy")

    return make


def end_job(job, status: str, value: float | None = None) -> None:
    """Write the files of a job that has ended with a status and a best monitored value."""
    job.folder.mkdir(exist_ok=True)
    (job.folder / "job.json").write_text(json.dumps({"status": status}))
    if value is not None:
        (job.folder / "report.json").write_text(json.dumps({"monitor": {"best": value}}))


def invent_value(job) -> float:
    """Return a made-up result that depends on the learning rate of a trial."""
    rate = float(dict(text.split("=") for text in job.overrides)["optimizer.learning_rate"])
    return 1 / (1 + rate)


def test_a_stopped_search_has_the_same_trials_as_a_whole_one(trials):
    whole = trials("whole", 4)
    while job := whole.take_next_job():
        end_job(job, "finished", invent_value(job))
        whole.record_end(job)
    for _ in range(5):  # the search is killed before every second trial, while one runs
        broken = trials("broken", 4)
        for turn in range(2):
            if not (job := broken.take_next_job()):
                break
            if turn == 0:
                end_job(job, "finished", invent_value(job))
                broken.record_end(job)
        broken.study._storage.remove_session()
        broken.sweep.lock.release()
    assert [job.overrides for job in broken.sweep.jobs] == [
        job.overrides for job in whole.sweep.jobs
    ]
    assert broken.format_results()[1] == whole.format_results()[1]


def test_failed_trials_do_not_end_a_search_and_are_never_the_best(trials):
    search = trials()
    for status in ("diverged", "finished", "pruned", "refused", "finished", "killed"):
        job = search.take_next_job()
        end_job(job, status, 0.1 * job.number if status == "finished" else None)
        search.record_end(job)
    assert search.take_next_job() is None
    states = [trial.state.name for trial in search.study.trials]
    assert states == ["FAIL", "COMPLETE", "PRUNED", "FAIL", "COMPLETE", "FAIL"]
    assert search.study.best_trial.number == 4
    assert search.format_results()[0].startswith("best of 2 finished trials: 4")
    assert search.unfinished_jobs == []  # nothing that a resumed search would run again


def test_of_two_trials_with_the_same_value_the_lower_loss_is_the_best(trials):
    search = trials()
    for loss in (0.7, 0.5, 0.6):
        job = search.take_next_job()
        end_job(job, "finished", 0.5)
        rows = f"epoch,step,valid.accuracy,valid.loss\n1,1,0.4,0.1\n2,2,0.5,{loss}\n"
        (job.folder / "history.csv").write_text(rows)
        search.record_end(job)
    assert search.format_results()[0].startswith("best of 3 finished trials: 1")


def test_a_hopeless_trial_is_pruned(trials):
    search = trials()
    for accuracy in (0.8, 0.7, 0.9, 0.1):
        job = search.take_next_job()
        end_job(job, "running")
        rows = "".join(f"{epoch},{epoch * accuracy}\n" for epoch in (1, 2, 3))
        (job.folder / "history.csv").write_text("epoch,valid.accuracy\n" + rows)
        search.report_progress()
        is_pruned = (job.folder / "prune").exists()
        assert is_pruned == (accuracy == 0.1)
        if not is_pruned:
            end_job(job, "finished", 3 * accuracy)
            search.record_end(job)
    assert "worse than the median" in (job.folder / "prune").read_text()


@pytest.mark.slow
def test_a_search_is_stopped_and_resumed_and_names_the_command_for_the_best(command, tmp_path):
    words = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=20", "epochs=1",
             "model=mlp_256_128", "sweep.jobs=2", "hydra.sweep.dir=sweep"]  # fmt: skip
    process, sweep = begin(*words, cwd=tmp_path), tmp_path / "sweep"
    wait_until(lambda: len(list(sweep.glob("*/report.json"))) >= 4, process, 900)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130
    before = {job: mtimes(job) for job in sweep.glob("*_*/") if finished(job)}
    assert len(before) >= 3
    done = command("resume", "sweep")
    assert done.returncode == 0, done.stderr
    assert all(mtimes(job) == times for job, times in before.items())
    assert len(statuses(sweep)) == 20
    assert set(statuses(sweep)) <= {"finished", "pruned"}
    with sqlite3.connect(sweep / "search.db") as database:
        assert database.execute("select count(*) from trials").fetchone() == (20,)
    line = next(line for line in done.stdout.splitlines() if "trained in full by" in line)
    words = shlex.split(line.partition("by")[2])
    assert words[0] == "cnntrain"
    assert not any(word.startswith("epochs") for word in words)
    assert command("--cfg", "job", *words[1:]).returncode == 0


def test_overrides_replace_the_search_space_of_the_option():
    from cnntrain.sweeps.optuna_search import choose_search_space

    ready = {"seed": "1,2", "epochs": "3,4"}
    assert choose_search_space([], ready) == ["seed=1,2", "epochs=3,4"]
    assert choose_search_space(["epochs=5"], ready) == ["seed=1,2"]
    with pytest.raises(SpecError):
        choose_search_space(["seed=1", "epochs=2"], ready)


def test_the_error_for_a_missing_engine_has_the_install_command():
    from cnntrain.sweeps.launchers import import_engine

    with pytest.raises(SpecError) as error:
        import_engine("no_such_engine")
    assert error.value.hint == "pip install 'cnntrain[no_such_engine]'"
