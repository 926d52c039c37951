import json
import subprocess

import pytest

from cnntrain.errors import SpecError
from cnntrain.running.resume import read_resumed_run, reopen_run
from cnntrain.runs.results import collect_settings, find_nearest_option, gather_results, read_run
from cnntrain.spec.signatures import GROUPS


def test_finished_run_is_read_with_its_settings_and_numbers(left_behind):
    result = read_run(left_behind("a", "initializer=zeros", "seed=3", accuracies=[0.5, 0.8, 0.7]))
    assert (result.status, result.reason) == ("finished", "")
    assert result.settings["initializer"] == "zeros"
    assert result.settings["seed"] == 3
    numbers = result.numbers
    assert (numbers["valid.accuracy"], numbers["best_epoch"], numbers["last_epoch"]) == (0.8, 2, 3)
    assert numbers["test.accuracy"] == pytest.approx(0.75)
    assert numbers["seconds"] == 12.5


def test_best_epoch_is_the_one_of_which_the_weights_were_kept(left_behind):
    folder = left_behind("a", accuracies=[0.8, 0.8])
    text = (folder / "history.csv").read_text().splitlines()
    text[2] = text[2].replace("0.8,", "0.8,", 1)
    lower = text[2].split(",")
    lower[text[0].split(",").index("valid.loss")] = "0.1"
    (folder / "history.csv").write_text("\n".join([text[0], text[1], ",".join(lower)]) + "\n")
    assert read_run(folder).best["epoch"] == 2  # the same accuracy, a lower loss


def test_monitored_loss_is_best_where_it_is_lowest(left_behind):
    result = read_run(left_behind("a", "monitor=valid.loss", accuracies=[0.5, 0.8, 0.7]))
    assert result.best["epoch"] == 2


def test_run_without_an_epoch_has_no_numbers(left_behind):
    result = read_run(left_behind("a", accuracies=[], status="interrupted"))
    assert (result.status, result.numbers) == ("interrupted", {})


def test_failed_run_says_why(left_behind):
    result = read_run(left_behind("a", status="failed", error="the loss is not finite at step 12"))
    assert (result.status, result.reason) == ("failed", "the loss is not finite at step 12")


def test_running_run_whose_process_is_gone_counts_as_killed(left_behind):
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert read_run(left_behind("a", status="running", pid=ended.pid)).status == "killed"


def test_row_that_a_crash_cut_short_is_left_out(left_behind):
    folder = left_behind("a")
    with (folder / "history.csv").open("a") as file:
        file.write("3,30,0.9")
    assert read_run(folder).last["epoch"] == 2


@pytest.mark.parametrize("name", ["run.json", "spec.yaml", "report.json"])
def test_damaged_run_is_refused_by_name_and_a_row_in_a_sweep(left_behind, tmp_path, name):
    left_behind("sweep/0_seed=0")
    damaged = left_behind("sweep/1_seed=1", "seed=1")
    (damaged / name).write_text('{"half')
    with pytest.raises(SpecError, match=f"{name} cannot be used"):
        read_run(damaged)
    first, second = gather_results([tmp_path / "sweep"])
    assert (first.status, second.status) == ("finished", "unreadable")
    assert name in second.reason


def test_run_of_a_newer_version_is_refused(left_behind):
    folder = left_behind("a", format=99, versions={"cnntrain": "99.0"})
    with pytest.raises(SpecError, match=r"was written by cnntrain 99\.0, in format 99"):
        read_run(folder)


def test_run_without_a_format_is_read(left_behind):
    folder = left_behind("a")
    record = json.loads((folder / "run.json").read_text())
    del record["format"]
    (folder / "run.json").write_text(json.dumps(record))
    assert read_run(folder).status == "finished"


@pytest.mark.parametrize("name", ["", "missing"])
def test_directory_without_a_run_is_refused(tmp_path, name):
    with pytest.raises(SpecError, match=r"holds no run|is not there"):
        read_run(tmp_path / name)


def test_jobs_come_in_their_order_and_each_once(left_behind, tmp_path):
    names = [f"sweep/{n}_seed={n}" for n in (10, 9, 2)]
    folders = [left_behind(name) for name in names]
    found = gather_results([folders[0], tmp_path / "sweep"])
    assert [result.folder for result in found] == [folders[0], folders[2], folders[1]]


def test_jobs_that_never_became_runs_are_rows_with_their_reasons(left_behind, tmp_path):
    left_behind("sweep/0_batch_size=32", "batch_size=32")
    killed = left_behind("sweep/1_batch_size=64", "batch_size=64", status="running", pid=1)
    refused = tmp_path / "sweep" / "2_batch_size=5000"
    refused.mkdir()
    end = {"overrides": ["batch_size=5000"], "status": "refused", "reason": "batch_size is 5000"}
    (refused / "job.json").write_text(json.dumps(end))
    (killed / "job.json").write_text(json.dumps({"status": "killed", "reason": "by SIGKILL"}))
    waits = {"folder": "3_batch_size=16", "overrides": ["batch_size=16"], "status": "waiting"}
    (tmp_path / "sweep" / "jobs.json").write_text(json.dumps([waits]))
    found = gather_results([tmp_path / "sweep"])
    assert [(r.status, r.reason) for r in found] == [
        ("finished", ""), ("killed", "by SIGKILL"), ("refused", "batch_size is 5000"),
        ("waiting", ""),
    ]  # fmt: skip
    assert [r.settings["batch_size"] for r in found] == [32, 64, 5000, 16]
    assert found[2].settings["epochs"] == 20  # as in all others


def test_option_that_was_chosen_is_recorded(left_behind):
    """The option is recorded, not guessed: other options have these knobs, too."""
    recipe = "resnet_flowers17_ours"
    words = [f"experiment={recipe}", "schedule=plateau", "schedule.plateau.patience=null"]
    folder = left_behind("a", *words)
    choices = json.loads((folder / "run.json").read_text())["choices"]
    assert choices.items() >= {"experiment": recipe, "model": "resnet20_v1"}.items()
    assert choices.keys() == {*GROUPS, "experiment"}
    settings = read_run(folder).settings
    assert {group: settings[group] for group in GROUPS} == {g: choices[g] for g in GROUPS}
    assert settings["schedule"] == "plateau"


def test_run_from_before_choices_is_read(left_behind):
    folder = left_behind("a", "optimizer=adamw", choices=None)
    assert read_run(folder).settings["optimizer"] == "adamw"


def test_choices_outlive_a_resume(left_behind):
    folder = left_behind("a", "model=mlp_bn", status="interrupted")
    run, _ = reopen_run(read_resumed_run(str(folder), ["epochs=30"]))
    assert run.read_run_json()["choices"]["model"] == "mlp_bn"
    run.lock.release()


def test_option_of_an_older_run_is_found_by_its_knobs(spec):
    for name in ("zeros", "he_normal", "random_normal"):
        assert (
            find_nearest_option("initializer", spec(f"initializer={name}").config["initializer"])
            == name
        )
    record = {"overrides": ["model=resnet56_v1", "model.shortcut=B"]}  # plain56 would be as near
    assert collect_settings(spec(*record["overrides"]).config, record)["model"] == "resnet56_v1"
    assert find_nearest_option("model", {"name": "of_a_stranger"}) == "of_a_stranger"
