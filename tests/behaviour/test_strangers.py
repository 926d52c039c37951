"""A stranger's run or sweep stays data: nothing of it runs, nothing outside is written, and what is
wrong with it is said in words."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import time

import matplotlib
import numpy as np
import pytest
import yaml

from cnntrain.cli import main
from cnntrain.errors import SpecError
from cnntrain.files import locks
from cnntrain.reports import run_page
from cnntrain.reports.comparison import compare_runs
from cnntrain.running.resume import read_resumed_run, reopen_run
from cnntrain.running.run import train_and_record_end
from cnntrain.runs.directory import Run
from cnntrain.runs.results import gather_results, read_run
from cnntrain.runs.strangers import find_trained_weights
from cnntrain.spec.compose import compose_config
from cnntrain.sweeps import job_process, scheduler
from cnntrain.sweeps.directory import Sweep
from cnntrain.sweeps.sweep import complete_launcher
from cnntrain.sweeps.sweep_file import check_launcher

RECORDS = {
    "pid": ("abc", -1, [], 1e300), "class_names": (5, [5], {"a": 1}), "data": ([], 5, "x"),
    "overrides": (5, [5], {}), "versions": ([], 3), "git": ([1], "x"), "started": (5, {}),
    "status": (5, []), "error": ({}, 7), "device": ("x", []), "resumed": ("x", [1]),
    "format": ("1", [], {}), "planned": (5, {"steps": "x"}, {"steps": 0}), "init": ([], 1),
    "choices": ([], "x", {"model": 5}, {"model": ["x"]}),
}  # fmt: skip


@pytest.mark.parametrize("key", RECORDS)
def test_record_of_another_type_is_refused_by_name_and_a_row_in_a_sweep(left_behind, tmp_path, key):
    left_behind("sweep/0_seed=0")
    for number, value in enumerate(RECORDS[key], 1):
        folder = left_behind(f"sweep/{number}_seed={number}", **{key: value})
        with pytest.raises(SpecError, match=r"run\.json cannot be used: .*" + key):
            read_run(folder)
        with pytest.raises(SpecError, match=r"run\.json cannot be used"):
            find_trained_weights(str(folder))
    statuses = [result.status for result in gather_results([tmp_path / "sweep"])]
    assert statuses == ["finished"] + ["unreadable"] * len(RECORDS[key])


REPORTS = {
    "tests": {"test": []}, "test": {"test": {"best": 5}}, "seconds": {"seconds": {"total": "x"}},
    "phases": {"phases": [None]}, "parameters": {"parameters": [1]},
    "speed": {"images_per_second": "fast"}, "monitor": {"monitor": {"best": "x"}},
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTS)
def test_report_of_another_type_is_refused_by_name(left_behind, name):
    folder = left_behind("a")
    (folder / "report.json").write_text(json.dumps(REPORTS[name]))
    with pytest.raises(SpecError, match=r"report\.json cannot be used"):
        read_run(folder)


CONTENTS = {
    "deep": b"[" * 100_000, "huge": b'{"a": ' + b"1" * 5_000 + b"}", "nul": b"\0" * 100,
    "latin": '{"a": "é"}'.encode("latin-1"), "empty": b"", "list": b"[]", "text": b'"x"',
}  # fmt: skip


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", ["run.json", "report.json", "spec.yaml"])
def test_file_that_is_no_mapping_is_refused_by_name(left_behind, name, content):
    folder = left_behind("a")
    (folder / name).write_bytes(CONTENTS[content])
    with pytest.raises(SpecError, match=f"{name} cannot be used"):
        read_run(folder)


TABLES = {
    "no epoch": "epohc,step,train.loss\n1,10,0.5\n",
    "a word": "epoch,step,train.loss\none,10,0.5\n2,20,0.4\n",
    "half an epoch": "epoch,step,train.loss\n0.5,10,0.5\n",
    "no number": "epoch,step,train.loss\nnan,10,0.5\n",
    "NUL": "epoch,step,train.loss\n1,10,0.5\n" + "\0" * 500 + "\n3,30,0.3\n",
    "a cell more": "epoch,step,train.loss\n1,10,0.5,7\n2,20,0.5\n",
    "a huge cell": "epoch,step,train.loss\n" + "1" * 200_000 + ",1,1\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_history_of_other_rows_is_refused_by_name(left_behind, name):
    folder = left_behind("a")
    (folder / "history.csv").write_text(TABLES[name])
    with pytest.raises(SpecError, match=r"history\.csv cannot be used"):
        read_run(folder)


@pytest.mark.parametrize("content", [b"\xff\xfee\0p\0", b"epoch;step\n1;2\n", b"\0" * 99])
def test_table_of_another_header_is_refused_before_rows_are_added(left_behind, content):
    folder = left_behind("a", status="interrupted")
    (folder / "history.csv").write_bytes(content)
    with pytest.raises(SpecError, match=r"history\.csv cannot be used: it has no column epoch"):
        reopen_run(read_resumed_run(str(folder), []))


def test_table_that_a_spreadsheet_saved_is_read_and_gets_whole_rows(left_behind):
    folder = left_behind("a")
    text = (folder / "history.csv").read_text()
    before = read_run(folder).history
    (folder / "history.csv").write_text(text, encoding="utf-8-sig")
    assert read_run(folder).history == before
    Run(folder).append_row("history.csv", before[-1] | {"epoch": 9})
    assert read_run(folder).history == [*before, before[-1] | {"epoch": 9}]


def test_number_that_no_float_holds_costs_neither_row_nor_page(left_behind):
    folder = left_behind("a")
    report = json.loads((folder / "report.json").read_text())
    report["test"]["best"] |= {"accuracy": 10**400}
    (folder / "report.json").write_text(json.dumps(report))
    assert "test.accuracy" not in read_run(folder).numbers


def test_numbers_that_were_not_finite_cost_neither_row_nor_page(left_behind):
    folder = left_behind("a", git=None, device=None, data=None, error=None)
    lost = {"loss": None, "accuracy": 0.5}
    report = {"test": {"best": lost, "final": lost}, "valid": {"best": lost}, "seconds": None}
    (folder / "report.json").write_text(json.dumps(report))
    assert read_run(folder).numbers["test.accuracy"] == 0.5
    assert "nan" in run_page.write_run_report(folder).read_text()


LAYER = {"layer": "a", "kind": "Dense", "output": [3], "parameters": 5}
NETWORKS = [
    {}, {"name": "a", "parameters": 1, "multiply_adds": 1, "layers": 5},
    {"name": "a", "parameters": 1, "multiply_adds": 1, "layers": [{}]},
    {"name": "a", "parameters": "1", "multiply_adds": 1, "layers": []},
    {"name": "a", "parameters": 1, "multiply_adds": 1, "layers": [LAYER | {"output": []}]},
    {"name": "a", "parameters": 1, "multiply_adds": 1, "layers": [LAYER | {"output": "x"}]},
]  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS)
def test_network_of_another_type_is_refused_by_name(left_behind, network):
    folder = left_behind("a")
    (folder / "network.json").write_text(json.dumps(network))
    with pytest.raises(SpecError, match=r"network\.json cannot be used"):
        run_page.write_run_report(folder)


GUESSED = {
    "labels": np.array([0, 1]),
    "classes": np.array([[0, 1], [1, 0]]),
    "probabilities": np.full((2, 2), 0.5, np.float32),
}
PREDICTIONS = {
    "other classes": {"classes": np.array([[0, 7], [1, 0]])},
    "below nought": {"labels": np.array([0, -1])},
    "no row": {"labels": np.empty(0, int), "classes": np.empty((0, 2), int)},
    "texts": {"labels": np.array(["a", "b"])},
    "one axis": {"classes": np.array([0, 1])},
    "a class less": {"probabilities": np.ones((2, 1), np.float32)},
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_predictions_of_another_shape_are_left_out_of_the_page_with_a_word(left_behind, name):
    folder = left_behind("a", class_names=["cat", "dog"])
    np.savez(folder / "predictions.npz", **GUESSED | PREDICTIONS[name])
    page = run_page.write_run_report(folder).read_text()
    assert "predictions.npz is damaged and left out" in page
    assert "Class by class" not in page


PICTURES = {
    "rows": {"sample": np.array([9]), "sample_images": np.zeros((1, 4, 4, 1), np.uint8)},
    "axes": {"sample": np.array([0]), "sample_images": np.zeros((4, 4), np.uint8)},
    "floats": {"sample": np.array([0]), "sample_images": np.zeros((1, 4, 4, 1))},
    "filters": {"filters": np.zeros((3, 3), np.float32)},
    "no filter": {"filters": np.zeros((0, 5, 5, 1), np.float32)},
    "texts": {"augmented_images": np.zeros((1, 3, 4, 4, 1), np.uint8),
              "augmented_labels": np.array([0]), "augmented_texts": np.array([["a"]])},
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_another_shape_are_left_out_of_the_page_with_a_word(left_behind, name):
    folder = left_behind("a", class_names=["cat", "dog"])
    np.savez(folder / "predictions.npz", **GUESSED)
    np.savez(folder / "pictures.npz", **PICTURES[name])
    page = run_page.write_run_report(folder).read_text()
    assert "pictures.npz is damaged and left out" in page
    assert "Class by class" in page


@pytest.fixture
def victim(tmp_path):
    (tmp_path / "victim").write_text("precious")
    return tmp_path / "victim"


LINKED = ("report.html.tmp", "report.html", "train.log", "history.csv", "figures/curves.png",
          "state/last.state", "state/unfinished", "run.json.tmp", "network.json")  # fmt: skip


@pytest.mark.parametrize("name", LINKED)
def test_link_out_of_a_run_is_refused_and_nothing_is_written_through_it(left_behind, victim, name):
    folder = left_behind("a", status="interrupted")
    (folder / "figures").mkdir()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(victim)
    for use in (
        run_page.write_run_report,
        read_run,
        lambda run: reopen_run(read_resumed_run(str(run), [])),
        lambda run: find_trained_weights(str(run)),
    ):
        with pytest.raises(SpecError, match="is a link to"):
            use(folder)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["state", "figures", "tensorboard", "refit"])
def test_folder_of_a_run_that_leads_elsewhere_is_refused(left_behind, tmp_path, name):
    folder, elsewhere = left_behind("a", status="interrupted"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).symlink_to(elsewhere)
    for use in (run_page.write_run_report, lambda run: reopen_run(read_resumed_run(str(run), []))):
        with pytest.raises(SpecError, match="is a link to"):
            use(folder)
    assert list(elsewhere.iterdir()) == []


def test_run_itself_and_what_it_lies_in_may_be_links(left_behind, tmp_path):
    folder = left_behind("scratch/outputs/a")
    (tmp_path / "outputs").symlink_to(folder.parent)
    (tmp_path / "mine").symlink_to(folder)
    assert run_page.write_run_report(tmp_path / "outputs" / "a").is_file()
    assert read_run(tmp_path / "mine").status == "finished"


def test_pipe_in_a_run_is_refused_and_not_waited_for(left_behind):
    folder = left_behind("a")
    (folder / "history.csv").unlink()
    os.mkfifo(folder / "history.csv")
    with pytest.raises(SpecError, match="neither a file nor a folder"):
        read_run(folder)


def test_jobs_elsewhere_are_not_read(left_behind, tmp_path):
    left_behind("secret", seed=7)
    left_behind("sweep/0_seed=0")
    for given in ("../secret", str(tmp_path / "secret"), "..", 5):
        (tmp_path / "sweep" / "jobs.json").write_text(json.dumps([{"folder": given}]))
        first, second = gather_results([tmp_path / "sweep"])
        assert (first.status, second.status) == ("finished", "unreadable")
        assert "jobs.json cannot be used" in second.reason


PLAN = {
    "overrides": ["seed=1"], "flags": [], "varied": ["seed"], "monitor": "valid.accuracy",
    "sweep": {"jobs": 1, "gpus": None, "on_error": "continue", "retry_oom": False},
    "launcher": {"name": "local"}, "sweeper": {"name": "basic"}, "jobs": [["seed=1"]],
}  # fmt: skip
PLANS = {
    "a verb": {"jobs": [["export", "a", "--format=keras"]]},
    "a flag": {"jobs": [["--config-dir=x", "seed=1"]]},
    "a verb for a flag": {"flags": ["data", "clean"]},
    "three flags": {"flags": ["--config-dir", "x", "export"]},
    "hydra": {"jobs": [["hydra.searchpath=[pkg://x]"]]},
    "a flag to search": {"fixed": ["--cfg=job"]},
    "within itself": {"cwd": "{sweep}/x"},
    "itself": {"cwd": "{sweep}"},
    "relative": {"cwd": "sweep/x"},
    "no jobs": {"jobs": 5},
    "numbers": {"jobs": [[1]]},
    "no launcher": {"launcher": None},
    "no name": {"launcher": {}},
    "no sweep": {"sweep": []},
    "no monitor": {"monitor": 5},
}


@pytest.mark.parametrize("name", PLANS)
def test_plan_that_is_no_sweep_of_ours_is_refused(tmp_path, name):
    folder = tmp_path / "sweep"
    folder.mkdir()
    plan = PLAN | {"cwd": str(tmp_path)} | PLANS[name]
    text = yaml.safe_dump(plan).replace("{sweep}", str(folder))
    (folder / "sweep.yaml").write_text(text)
    with pytest.raises(SpecError, match=r"sweep\.yaml cannot be used"):
        Sweep.reopen(folder)


@pytest.mark.parametrize(
    "more",
    [{"slurm_setup": ["touch x"]}, {"slurm_srun_args": ["x"]}, {"slurm_partition": "a\ntouch x"},
     {"slurm_additional_parameters": {"wrap": "x"}}],
)  # fmt: skip
def test_launcher_of_a_file_runs_nothing_that_is_not_said_again(tmp_path, more):
    launcher = {"name": "submitit_slurm", "cluster": "slurm", "slurm_account": "mine"}
    check_launcher(tmp_path / "sweep.yaml", launcher | {"slurm_partition": "gpu"}, ())
    with pytest.raises(SpecError, match="which may run what a stranger wrote"):
        check_launcher(tmp_path / "sweep.yaml", launcher | more, ())
    check_launcher(tmp_path / "sweep.yaml", launcher | more, more)


def test_cluster_of_a_file_gets_no_jobs_that_is_not_said_again(tmp_path):
    launcher = {"name": "ray", "address": "ray://stranger:10001"}
    with pytest.raises(SpecError, match=r"hydra\.launcher\.address"):
        check_launcher(tmp_path / "sweep.yaml", launcher, ())


def test_unknown_launcher_is_answered_with_a_setting_that_may_change(tmp_path):
    for given, origin in (((), f" in {tmp_path}/sweep.yaml"), (("name",), "")):
        with pytest.raises(SpecError) as caught:
            check_launcher(tmp_path / "sweep.yaml", {"name": "jobli"}, given)
        assert caught.value.given == f"hydra.launcher.name{origin} is jobli"
        assert caught.value.hint == "hydra.launcher.name=joblib"


def test_other_launcher_of_a_sweep_has_the_settings_of_its_file(tmp_path):
    begun = Sweep(tmp_path)

    def completed(said, **launcher):
        begun.plan = PLAN | {"launcher": launcher}
        return complete_launcher(begun, said)

    assert completed([], name="joblib") == {"name": "joblib", "n_jobs": 1}
    assert completed([], name="joblib", n_jobs=3) == {"name": "joblib", "n_jobs": 3}
    other = completed(["name"], name="submitit_local", n_jobs=3)
    assert other["cluster"] == "local"
    assert "n_jobs" not in other
    with pytest.raises(SpecError, match=r"hydra\.launcher\.x is not a setting"):
        completed([], name="joblib", n_jobs=3, x=1)


def test_sweep_on_a_full_disk_gives_its_directory_back(tmp_path, monkeypatch):
    monkeypatch.setattr(Sweep, "write_plan", full_write)
    with pytest.raises(SpecError, match="cannot be written: No space left"):
        Sweep.begin(tmp_path / "a" / "s", PLAN, [["seed=1"]])
    assert list(tmp_path.iterdir()) == []


def test_job_takes_no_module_from_where_the_user_is(tmp_path, monkeypatch):
    (tmp_path / "yaml.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "cnntrain").mkdir()
    (tmp_path / "cnntrain" / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    job = tmp_path / "sweep" / "0"
    job.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    job_process.run_job(job_process.Task(job, ("model=nope",), (), tmp_path, "continue", False))
    record = json.loads((job / "job.json").read_text())
    assert (record["status"], record["reason"]) == ("refused", "model is nope")
    assert not (tmp_path / "ran").exists()


def test_engines_take_no_module_from_where_the_user_is(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit('mine')")
    (tmp_path / "lib").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "lib")
    words = [sys.executable, "-m", "json.tool", "--help"]
    found = os.environ | scheduler.build_safe_environment()
    assert found["PYTHONPATH"] == str(tmp_path / "lib")
    code = "import runpy, random; print(random.__file__)"
    done = subprocess.run([*words[:1], "-c", code], env=found, capture_output=True, text=True)
    assert str(tmp_path) not in done.stdout


def test_module_of_the_package_is_not_looked_for_where_the_user_is(command, tmp_path):
    (tmp_path / "yaml.py").write_text("raise SystemExit('mine')")
    assert command("--version").stdout.startswith("cnntrain ")


def test_figures_do_not_depend_on_a_matplotlibrc_where_the_user_is(left_behind):
    figure = left_behind("a") / "figures" / "curves.png"
    run_page.write_run_report(figure.parents[1])
    plain = figure.read_bytes()
    with matplotlib.rc_context({"text.usetex": True, "lines.linewidth": 40}):
        run_page.write_run_report(figure.parents[1])
        assert matplotlib.rcParams["text.usetex"]  # which is the user's again
    assert figure.read_bytes() == plain


BOMB = "name: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join(10 * [f'*a{n - 1}'])}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize("place", ["model/bomb.yaml", "model/other/bomb.yaml", "bomb.yaml"])
def test_bomb_among_the_users_options_is_refused_at_once(tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / place).write_text(BOMB)
    (tmp_path / "model" / "mine.yaml").write_text("defaults: [/bomb, other/bomb]\nname: lenet5\n")
    began = time.perf_counter()
    with pytest.raises(SpecError, match=r"bomb\.yaml.*aliases stand for"):
        compose_config(["model=mine"], str(tmp_path))
    assert time.perf_counter() - began < 2


def test_bomb_in_a_run_is_refused_at_once(left_behind):
    folder = left_behind("a", status="interrupted")
    (folder / "spec.yaml").write_text(BOMB)
    for use in (read_run, lambda run: reopen_run(read_resumed_run(str(run), []))):
        with pytest.raises(SpecError, match=r"spec\.yaml cannot be used: .*aliases stand for"):
            use(folder)


@pytest.mark.parametrize("group", [5, [[[]]], "x"])
def test_spec_whose_group_is_no_mapping_is_refused_and_a_row_in_a_sweep(left_behind, group):
    left_behind("sweep/1_b")
    folder = left_behind("sweep/0_a")
    spec = yaml.safe_load((folder / "spec.yaml").read_text())
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec | {"dataset": group}))
    first, second = gather_results([folder.parent])
    assert (first.status, second.status) == ("unreadable", "finished")
    assert compare_runs([first, second], None).to_csv()


def test_finished_run_without_a_state_is_not_made_anew(left_behind):
    folder = left_behind("a", "epochs=2")
    shutil.rmtree(folder / "state")
    before = {file: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(SpecError, match="is finished and has no state to go on from"):
        reopen_run(read_resumed_run(str(folder), ["epochs=4"]))
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_table_is_cut_to_whole_rows_and_never_filled(left_behind):
    run = Run(left_behind("a", accuracies=[0.1, 0.2, 0.3]))
    table = run.folder / "history.csv"
    whole = table.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert run.truncate_table("history.csv", len(whole))
    table.write_bytes(whole + b"4,40,")
    assert run.truncate_table("history.csv", len(whole))
    assert table.read_bytes() == whole
    for left in (whole[:-5], whole[: -len(lines[-1])] + b"\0" * len(lines[-1])):
        table.write_bytes(left)
        assert not run.truncate_table("history.csv", len(whole))
        assert table.read_bytes() == b"".join(lines[:-1])
    table.unlink()
    assert not run.truncate_table("history.csv", len(whole))
    assert run.truncate_table("history.csv", 0)


def full_disk(*args):
    """What Keras makes of a disk that is full."""
    try:
        raise OSError("Can't write data (file write failed: errno = 28, error message = 'No')")
    except OSError as error:
        raise ValueError("cannot be saved") from error


@pytest.mark.parametrize("also", [False, True])
def test_full_disk_is_a_line_and_the_run_has_failed(left_behind, monkeypatch, capsys, also):
    run = Run(left_behind("a", status="running"))
    monkeypatch.setattr("cnntrain.running.run.train_and_show", full_disk)
    if also:  # no room for another run.json either
        monkeypatch.setattr("cnntrain.runs.directory.write_json", full_write)
        monkeypatch.setattr(Run, "log_line", full_write)
    assert train_and_record_end(None, run) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(
        f"Failed: no space left on device below {run.folder}; cnntrain resume"
    )
    assert read_run(run.folder).status == "failed"


def full_write(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_directory_on_a_full_disk_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "write_spec", full_write)
    with pytest.raises(SpecError, match="cannot be written: No space left"):
        Run.claim(tmp_path / "a" / "run", {}, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", locks.NO_LOCK_ERRORS)
def test_file_system_without_locks_costs_a_warning(tmp_path, monkeypatch, capsys, number):
    fcntl = pytest.importorskip("fcntl")

    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    Run.claim(tmp_path / "run", {"seed": 0}, [])
    Run.reopen(tmp_path / "run")
    Sweep.begin(tmp_path / "sweep", PLAN, [["seed=1"]])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2  # once for each directory
    assert "is on a file system without locks" in said[0]


def test_terminal_is_told_nothing_by_a_strangers_files(left_behind, tmp_path, capsys):
    ring = "\x1b]0;title\x07"
    left_behind(f"s/0_{ring}", "seed=1", error=ring, status=f"failed{ring}")
    spec = left_behind("s/1", "seed=2") / "spec.yaml"
    spec.write_text(spec.read_text() + '"\\e[31mkey": "\\e[2J"\n')
    (tmp_path / "s" / "1" / "job.json").write_text(json.dumps({"status": ring, "reason": ring}))
    for words in (
        "report s",
        "compare s",
        "report s/0_{ring}",
        "compare s/1 s/0_{ring}",
        "report s/1",
    ):
        with contextlib.chdir(tmp_path), pytest.raises(SystemExit):
            main.main([word.replace("{ring}", ring) for word in words.split()])
        said = "".join(capsys.readouterr()).replace(f"s/0_{ring}", "")  # but by what was typed
        assert said
        assert not {"\x1b", "\x07"} & set(said), words


def test_job_in_place_of_whose_folder_a_file_lies_is_named(tmp_path):
    Sweep.begin(tmp_path / "s", PLAN | {"cwd": "/"}, [["seed=1"]]).lock.release()
    (tmp_path / "s" / "0_seed=1").touch()
    with pytest.raises(SpecError, match="0_seed=1 cannot be used: it is no folder"):
        Sweep.reopen(tmp_path / "s")


@pytest.mark.parametrize("place", ["", "model:\n"])
@pytest.mark.parametrize("key", ["5", "null", "2024-01-01"])
def test_key_that_is_no_text_is_refused(left_behind, key, place):
    folder = left_behind("a", status="interrupted")
    text = (folder / "spec.yaml").read_text()
    indent = "  " if place else ""
    (folder / "spec.yaml").write_text(text.replace(place, f"{place}{indent}{key}: 1\n", 1))
    with pytest.raises(SpecError, match="is not a setting"):
        reopen_run(read_resumed_run(str(folder), []))
