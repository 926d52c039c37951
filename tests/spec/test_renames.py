"""Old names of renamed settings are accepted from users, files and older runs."""

import hashlib
import json

import pytest
import yaml

from cnntrain.errors import SpecError
from cnntrain.running.resume import read_resumed_run, reopen_run
from cnntrain.runs.directory import Run
from cnntrain.runs.results import read_job_result
from cnntrain.runs.strangers import get_recorded_paths, read_config
from cnntrain.spec.build import build_spec
from cnntrain.spec.compose import compose_config
from cnntrain.spec.overrides import parse_overrides
from cnntrain.spec.renames import ADDED, ADDED_KNOBS, RENAMED, rename_overrides, rename_settings
from cnntrain.sweeps.expand import expand_jobs

BEFORE = {now: before for before, now in RENAMED.items()}


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("model.init_from=~/runs/a b", "init_from", "~/runs/a b"),
        ("++model.init_from=2024", "init_from", "2024"),
        ("schedule.stretch=true", "replan", True),
    ],
)
def test_override_may_use_the_old_name(spec, word, key, value):
    checked = spec(word)
    assert getattr(checked, key) == value
    assert checked.hash == spec(f"{key}={value}").hash


def test_settings_that_nobody_sets_are_null_and_false(spec):
    assert (spec().init_from, spec().replan) == (None, False)


def test_both_names_on_the_command_line_are_refused_where_they_differ():
    with pytest.raises(SpecError, match=r"model\.init_from=a and init_from=b are both given"):
        rename_overrides(["init_from=b", "model.init_from=a"])
    assert rename_overrides(["init_from=b", "model.init_from=b"]) == ["init_from=b"] * 2
    with pytest.raises(SpecError, match="both given"):
        compose_config(["schedule.stretch=true", "replan=false"])


def test_sweep_may_use_the_old_name():
    words = ["model.init_from=~/größe,2024", "schedule.stretch=true"]
    jobs = [compose_config(job).config for job in expand_jobs(parse_overrides(words))]
    assert [job["init_from"] for job in jobs] == ["~/größe", "2024"]
    assert all(job["replan"] is True for job in jobs)


@pytest.fixture
def config_dir(tmp_path):
    """Return a user's folder with a model, a schedule and a recipe under the old names."""
    for group in ("model", "schedule", "experiment"):
        (tmp_path / "own" / group).mkdir(parents=True)
    option = yaml.safe_load(yaml.safe_dump(compose_config([]).config))
    texts = {
        "model/homemade": yaml.safe_dump(option["model"] | {"init_from": "runs/a"}),
        "schedule/homemade": yaml.safe_dump(option["schedule"] | {"stretch": False}),
        "experiment/homemade": "# @package _global_\nmodel: {init_from: runs/b}\n"
        "schedule: {stretch: true}\n",
    }
    for name, text in texts.items():
        (tmp_path / "own" / f"{name}.yaml").write_text(text)
    return str(tmp_path / "own")


@pytest.mark.parametrize(
    ("words", "init_from", "replan"),
    [
        ("model=homemade schedule=homemade", "runs/a", False),
        ("model=homemade schedule=homemade init_from=runs/c replan=true", "runs/c", True),
        ("model=homemade model.init_from=runs/c", "runs/c", False),
        ("model=homemade init_from=null", None, False),
        ("experiment=homemade", "runs/b", True),
        ("experiment=homemade schedule=homemade replan=false", "runs/b", False),
    ],
)
def test_files_may_use_the_old_name_and_the_command_line_beats_them(
    config_dir, words, init_from, replan
):
    config = compose_config(words.split(), config_dir).config
    assert (config["init_from"], config["replan"]) == (init_from, replan)
    assert "init_from" not in config["model"]
    assert "stretch" not in config["schedule"]


def test_both_names_in_files_are_refused_where_they_differ():
    config = {"init_from": "b", "model": {"init_from": "a"}}
    with pytest.raises(SpecError, match=r"model\.init_from is a and init_from is b"):
        rename_settings(config)
    same = rename_settings({"init_from": "a", "model": {"init_from": "a"}})
    assert same == {"init_from": "a", "model": {}}


@pytest.fixture
def older(left_behind):
    """Return a run of an older version: its spec.yaml, run.json and checkpoint use old names."""
    folder = left_behind("older", "init_from=weights.h5", "tracking=none", status="interrupted")
    config = yaml.safe_load((folder / "spec.yaml").read_text())
    config["model"]["init_from"] = config.pop("init_from")
    config["schedule"]["stretch"] = config.pop("replan")
    for setting in ADDED:
        del config[setting]
    (folder / "spec.yaml").write_text(yaml.safe_dump(config))
    record = json.loads((folder / "run.json").read_text())
    record["paths"] = {BEFORE[key]: path for key, path in record["paths"].items()}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_older_run_is_resumed_with_either_name(older, tmp_path):
    for number, word in enumerate(("schedule.stretch=true", "replan=true")):
        resumed = read_resumed_run(str(older), [word, f"epochs={30 + number}"])
        run, _ = reopen_run(resumed)
        run.lock.release()
        checked = resumed.spec
        assert (checked.replan, checked.init_from) == (True, "weights.h5")
        assert get_recorded_paths(run.read_run_json()) == {
            "init_from": str(tmp_path.cwd() / "weights.h5")
        }
    assert read_config(Run(older))["replan"] is True


def test_added_setting_is_not_in_the_hash_while_it_means_what_earlier_versions_did(spec):
    assert not ADDED.keys() & spec().deciding_values.keys()
    assert spec("pipeline=host", "steps_per_block=4").hash == spec().hash
    assert spec("xla=true").deciding_values["xla"] is True
    assert len({spec(f"xla={value}").hash for value in ("auto", "true", "false")}) == 3


@pytest.mark.parametrize("option", ["cnn_mnist", "cnn_depth", "mobilenet", "mlp_256_128"])
def test_added_knobs_are_not_in_the_hash_while_they_mean_what_earlier_versions_did(spec, option):
    from cnntrain.spec.build import build_spec

    now = spec(f"model={option}")
    before = json.loads(json.dumps(dict(now.config)))
    added = [
        (group, knob)
        for group in ("initializer", "model")
        for knob in ADDED_KNOBS.get(group, {})
        | ADDED_KNOBS.get(f"{group}.{before[group]['name']}", {})
    ]
    for group, knob in added:
        del before[group][knob]
    assert build_spec(before) == now
    assert build_spec(before).hash == now.hash
    assert not {f"{group}.{knob}" for group, knob in added} & now.deciding_values.keys()
    assert ("model.activation" in now.deciding_values) == (option == "mlp_256_128")
    assert spec(f"model={option}", "initializer.head=zeros").hash != now.hash


def test_older_run_has_the_added_settings_in_a_comparison(older):
    assert ADDED.items() <= read_config(Run(older)).items()


def test_older_spec_keeps_its_hash_and_its_checkpoint(older, tmp_path):
    import numpy as np

    from cnntrain.runs.checkpoint import Checkpoint
    from cnntrain.training.checkpointing import check_resumable

    checked = build_spec(read_config(Run(older)))
    before = {BEFORE.get(key, key): value for key, value in checked.deciding_values.items()}
    assert before["model.init_from"] == "weights.h5"
    text = json.dumps(before, sort_keys=True)
    assert checked.hash == hashlib.sha256(text.encode()).hexdigest()
    arrays = {f"normalisation/{key}": np.zeros(1) for key in ("scale", "offset")}
    facts = {"loop": {"step": 1, "planned_steps": 2}, "best": {}, "patience": {}, "plateau": {}}
    state = Checkpoint(arrays, {**facts, "tables": {}, "decides": before})
    check_resumable(checked, Run(tmp_path), None, state, 2)
    other = {**before, "model.init_from": "others.h5"}
    with pytest.raises(SpecError, match="of another spec: init_from"):
        check_resumable(
            checked, Run(tmp_path), None, Checkpoint(arrays, {**state.facts, "decides": other}), 2
        )


def test_older_job_without_a_run_has_its_setting_under_the_new_name(tmp_path):
    job = {"overrides": ["model.init_from=a"], "status": "failed"}
    assert read_job_result(tmp_path, job).settings == {"init_from": "a"}


def test_older_network_keeps_the_order_of_its_layers(spec):
    config = compose_config(["model=alexnet_bn"]).config
    for knob in ("norm_position", "dropout_position"):
        del config["model"][knob]
    checked = build_spec(config)
    assert checked.model["norm_position"] == "before"
    assert checked.model["dropout_position"] == "after"
    assert not {"model.norm_position", "model.dropout_position"} & checked.deciding_values.keys()
    assert checked.hash == spec("model=alexnet_bn", "model.norm_position=before").hash
    assert checked.hash != spec("model=alexnet_bn").hash


@pytest.mark.parametrize(
    "words",
    [
        ("augmentation=flip_crop",),
        ("augmentation=compose",),
        ("augmentation=compose", "augmentation.ops=[{name: compose, ops: [{name: flip_crop}]}]"),
    ],
)
def test_older_augmentation_keeps_its_border_and_its_hash_also_in_a_list(spec, words):
    now = spec(*words)
    before = json.loads(json.dumps(dict(now.config)))
    known = json.dumps(before).replace('"alternate": false, "border": "black", ', "")
    assert known != json.dumps(before)
    assert build_spec(json.loads(known)) == now
    assert "black" not in json.dumps(now.deciding_values)
    other = json.loads(json.dumps(before).replace('"black"', '"edge"'))
    assert build_spec(other).hash != now.hash


def test_older_run_of_a_network_that_changed_opens_and_has_another_hash():
    """So its saved network can be evaluated, and its checkpoint is not resumed in the new one."""
    config = compose_config(["model=inception_tutorial"]).config
    del config["model"]["module"]
    checked = build_spec(config)
    assert checked.model["module"] == checked.deciding_values["model.module"] == "reduced"
