"""A stranger's sweep runs nothing that the command line does not say again."""

import pytest
import yaml

from cnntrain.errors import SpecError
from cnntrain.sweeps.directory import Sweep
from cnntrain.sweeps.sweep import complete_launcher
from cnntrain.sweeps.sweep_file import check_launcher
from helpers.processes import PLAN

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


def test_job_in_place_of_whose_folder_a_file_lies_is_named(tmp_path):
    Sweep.begin(tmp_path / "s", PLAN | {"cwd": "/"}, [["seed=1"]]).lock.release()
    (tmp_path / "s" / "0_seed=1").touch()
    with pytest.raises(SpecError, match="0_seed=1 cannot be used: it is no folder"):
        Sweep.reopen(tmp_path / "s")


def test_unknown_launcher_is_answered_with_a_setting_that_may_change(tmp_path):
    for keys, origin in (((), f" in {tmp_path}/sweep.yaml"), (("name",), "")):
        with pytest.raises(SpecError) as caught:
            check_launcher(tmp_path / "sweep.yaml", {"name": "jobli"}, keys)
        assert caught.value.given == f"hydra.launcher.name{origin} is jobli"
        assert caught.value.hint == "hydra.launcher.name=joblib"
