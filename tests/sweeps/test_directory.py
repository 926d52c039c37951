"""The directory of a sweep: a folder for each job, and all that goes on with it again."""

import json
import random

import pytest

from cnntrain.errors import SpecError
from cnntrain.sweeps.directory import DONE_STATUSES, ENDED_STATUSES, Sweep
from helpers.processes import PLAN


def begin(folder, *jobs, varied=("seed",)):
    return Sweep.begin(folder, PLAN | {"varied": list(varied), "cwd": "/"}, jobs)


def test_sweep_that_is_reopened_has_the_same_plan_and_jobs(tmp_path):
    begun = begin(tmp_path / "s", ["seed=1"], ["seed=2", "dataset.folder='a b'"])
    begun.lock.release()
    (begun.folder / "stop").write_text("leave")
    again = Sweep.reopen(tmp_path / "s")
    assert again.jobs == begun.jobs
    assert again.plan == {key: value for key, value in begun.plan.items() if key != "jobs"}
    assert not (begun.folder / "stop").exists()


def test_folders_of_jobs_are_of_their_own_and_plain_whatever_is_varied(tmp_path):
    letters, draw = "ab/.\\ \n\0:*?\"'=,é猫[]{}$", random.Random(0)
    values = ["".join(draw.choices(letters, k=draw.randrange(200))) for _ in range(50)]
    jobs = [[f"dataset.folder={value}", f"seed={value[:3]}"] for value in values]
    sweep = Sweep(tmp_path / "s")
    sweep.plan = {"varied": ["dataset.folder", "seed"]}
    names = [sweep.add_job(job).folder for job in jobs]
    assert len({name.name.casefold() for name in names}) == len(names)
    for number, folder in enumerate(names):
        assert folder.parent == sweep.folder
        assert folder.name.split("_")[0] == str(number)
        assert len(folder.name) <= 110
        assert not set(folder.name) & set('/\\ \n\0:*?"')


def test_long_numbers_are_short_in_the_names_of_folders(tmp_path):
    key = "optimizer.learning_rate"
    (job,) = begin(tmp_path / "s", [f"{key}=0.00012345678901"], varied=[key]).jobs
    assert job.folder.name == f"0_{key}=0.0001235"
    assert job.overrides == (f"{key}=0.00012345678901",)


@pytest.mark.parametrize("status", [*ENDED_STATUSES, "running", "interrupted", "waiting"])
def test_jobs_run_again_unless_they_would_end_the_same(tmp_path, status):
    sweep = begin(tmp_path / "s", ["seed=1"], ["seed=2"])
    sweep.jobs[0].folder.mkdir()
    record = {"status": status, "reason": "why", "pid": 1}
    (sweep.jobs[0].folder / "job.json").write_text(json.dumps(record))
    expected = [] if status in DONE_STATUSES else [0]
    assert [job.number for job in sweep.list_unfinished_jobs()] == [*expected, 1]
    sweep.write_jobs_file()
    first, second = json.loads((sweep.folder / "jobs.json").read_text())
    assert (first["status"], first["reason"], "pid" in first) == (status, "why", False)
    assert (second["status"], second["reason"]) == ("waiting", None)


def test_folder_with_anything_in_it_is_no_place_for_a_sweep(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "notes.txt").write_text("precious")
    with pytest.raises(SpecError, match="is not empty"):
        begin(tmp_path / "s", ["seed=1"])
    with pytest.raises(SpecError, match="is not a directory"):
        begin(tmp_path / "s" / "notes.txt", ["seed=1"])
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["notes.txt"]
