"""A stranger's run stays data: nothing of it runs, and what is wrong with it is said in words."""

import contextlib
import json
import shutil
import time

import numpy as np
import pytest
import yaml

from cnntrain.cli import main
from cnntrain.errors import SpecError
from cnntrain.reports import run_page
from cnntrain.reports.comparisons.comparison import compare_runs
from cnntrain.running.resume import read_resumed_run, reopen_run
from cnntrain.runs.directory import Run
from cnntrain.runs.results import gather_results, read_run
from cnntrain.runs.strangers import find_trained_weights
from cnntrain.spec.compose import compose_config

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


BOMB = "name: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join(10 * [f'*a{n - 1}'])}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize("place", ["model/bomb.yaml", "model/other/bomb.yaml", "bomb.yaml"])
def test_bomb_among_the_users_options_is_refused_at_once(tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / place).write_text(BOMB)
    (tmp_path / "model" / "own.yaml").write_text("defaults: [/bomb, other/bomb]\nname: lenet5\n")
    began = time.perf_counter()
    with pytest.raises(SpecError, match=r"bomb\.yaml.*aliases stand for"):
        compose_config(["model=own"], str(tmp_path))
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
    with pytest.raises(SpecError, match="is finished and has no checkpoint to go on from"):
        reopen_run(read_resumed_run(str(folder), ["epochs=4"]))
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


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


@pytest.mark.parametrize("place", ["", "model:\n"])
@pytest.mark.parametrize("key", ["5", "null", "2024-01-01"])
def test_key_that_is_no_text_is_refused(left_behind, key, place):
    folder = left_behind("a", status="interrupted")
    text = (folder / "spec.yaml").read_text()
    indent = "  " if place else ""
    (folder / "spec.yaml").write_text(text.replace(place, f"{place}{indent}{key}: 1\n", 1))
    with pytest.raises(SpecError, match="is not a setting"):
        reopen_run(read_resumed_run(str(folder), []))
