import errno
import json
import re

import pytest

OUTSIDE = re.compile(
    r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import"""
)


@pytest.fixture
def sweep(left_behind, tmp_path):
    """The directory of a sweep of which one job failed."""
    for number, (initializer, seed) in enumerate([("zeros", 1), ("zeros", 2), ("he_normal", 1)]):
        words = (f"initializer={initializer}", f"seed={seed}")
        left_behind(f"sweep/{number}_job", *words, accuracies=[0.1, 0.5 + number / 10])
    left_behind("sweep/3_job", "initializer=he_normal", "seed=2", accuracies=[], status="failed",
                error="the loss is not finite at step 12, in epoch 1")  # fmt: skip
    return tmp_path / "sweep"


def test_sweep_is_reported_as_a_table_and_three_files(command, sweep):
    done = command("report", str(sweep))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    he_normal, zeros = (
        next(line for line in lines if word in line) for word in ("he_normal", "zeros")
    )
    assert lines.index(he_normal) < lines.index(zeros)
    assert "1 of 2" in he_normal
    assert "0.5500 ± 0.0707" in zeros
    assert "3_job: failed: the loss is not finite at step 12, in epoch 1" in lines
    listed = json.loads((sweep / "sweep.json").read_text())
    assert listed["varied"] == ["initializer"]
    assert len((sweep / "sweep.csv").read_text().splitlines()) == 5
    page = (sweep / "sweep.html").read_text()
    assert "not finite at step 12" in page
    assert not OUTSIDE.search(page)


def test_report_writes_elsewhere_and_speaks_json(command, sweep, tmp_path):
    done = command("report", str(sweep), "--output", "out", "--json", "--sort", "valid.loss")
    assert json.loads(done.stdout)["sorted_by"] == "valid.loss"
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "sweep.csv", "sweep.html", "sweep.json",
    ]  # fmt: skip
    assert not (sweep / "sweep.csv").exists()


def test_compare_shows_where_specs_differ(command, left_behind, tmp_path):
    left_behind("a", "model=lenet5")
    left_behind("b", "model=mlp_bn", "seed=4")
    done = command("compare", "a", "b", "--output", "both")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["model", "lenet5", "mlp_bn"] in rows
    assert ["seed", "0", "4"] in rows
    page = (tmp_path / "both" / "comparison.html").read_text()
    assert "cnntrain compare a b --output both</code>" in page  # which writes it again


def test_runs_of_one_spec_are_called_that_and_no_empty_table_is_shown(
    command, left_behind, tmp_path
):
    left_behind("a")
    left_behind("b")
    done = command("compare", "a", "b", "--output", "both")
    assert "The runs have the same spec, seed included, and the same numbers." in done.stdout
    assert "standard deviation over the runs." in done.stdout
    assert "setting" not in done.stdout
    page = (tmp_path / "both" / "comparison.html").read_text()
    assert "2 runs of the same spec and seed" in page
    left_behind("c", accuracies=(0.5, 0.7))
    assert "but not the same numbers" in command("compare", "a", "c").stdout


def test_a_finished_run_is_reported_as_the_table_that_training_ends_with(command, left_behind):
    left_behind("a")
    left_behind("b", status="interrupted")
    done = command("report", "a")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["weights", "test", "loss", "test", "accuracy"] in rows
    assert ["last", "epoch", "0.5000", "0.7000"] in rows
    assert "valid.accuracy 0.75" in command("report", "b").stdout


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["report"], "no run is named"),
        (["report", "missing"], "missing is not there"),
        (["report", "empty"], "empty holds no run"),
        (["report", "a", "--sort", "valid.loss"], "--sort is given for a run"),
        (["compare", "a", "a/../b", "--sort", "speed"], "--sort is speed"),
        (["report", "a", "--output", "a/run.json"], "--output is a/run.json"),
        (["report", "a", "b"], "unrecognized arguments: b"),
        (["report", "new"], "was written by cnntrain 99.0"),
        (["compare"], "no run is named"),
        (["compare", "a"], "a is one run"),
        (["compare", "a", "missing"], "missing is not there"),
        (["compare", "a", "new"], "was written by cnntrain 99.0"),
    ],
)
def test_mistakes_are_answered(words, answer, left_behind, tmp_path, monkeypatch, capsys):
    from cnntrain.cli.main import main

    left_behind("a")
    left_behind("b")
    left_behind("new", format=99, versions={"cnntrain": "99.0"})
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert answer in capsys.readouterr().err


@pytest.mark.parametrize("words", ["report a", "report a --output out", "compare a b --output out"])
def test_a_full_disk_is_answered(words, left_behind, tmp_path, monkeypatch, capsys):
    from cnntrain.cli.main import main
    from cnntrain.files import writing

    left_behind("a")
    left_behind("b")

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    place = words.split()[-1]
    assert f"{place} cannot be written to: No space left on device" in capsys.readouterr().err
    assert not list(tmp_path.glob(f"{place}/*.tmp"))


def test_runs_without_numbers_and_a_run_alone_are_not_called_the_same(left_behind, answer):
    left_behind("a", accuracies=(), status="running")
    left_behind("b", accuracies=(), status="running")
    for runs in (("a", "b"), ("a",)):
        assert "the same numbers" not in answer("compare", *runs).stdout
