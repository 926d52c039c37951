"""Nothing outside a run is read or written for it, and nothing where the user is is run."""

import json
import os
import shutil
import subprocess
import sys

import matplotlib
import pytest

from cnntrain.errors import SpecError
from cnntrain.reports import run_page
from cnntrain.running.resume import read_resumed_run, reopen_run
from cnntrain.runs.results import gather_results, read_run
from cnntrain.runs.strangers import find_trained_weights
from cnntrain.sweeps import job_process, scheduler


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
