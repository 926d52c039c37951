"""What a notebook's cell shows while a run trains."""

import re
import time
from pathlib import Path

import pytest

from cnntrain.api import views
from cnntrain.api.views import LineView, NotebookView, choose_view
from cnntrain.running.progress import RunView

ROW = {
    "epoch": 1, "train.loss": 1.0, "train.accuracy": 0.5, "valid.loss": 0.9, "valid.accuracy": 0.6,
    "learning_rate": 0.1, "images_per_second": 1000.0,
}  # fmt: skip
REPORT = {
    "test": {"best": {"loss": 0.5, "accuracy": 0.75}}, "valid": {}, "best_epoch": 2,
    "monitor": {"best": 0.6},
}  # fmt: skip


class Cell:
    """The output of a cell: IPython's `display`, and the handle that it returns."""

    def __init__(self):
        self.shown = []

    def __call__(self, bundle, raw, display_id):
        assert raw
        assert display_id
        self.shown.append(bundle)
        return self

    def update(self, bundle, raw):
        self.shown.append(bundle)

    @property
    def html(self):
        return self.shown[-1]["text/html"]


@pytest.fixture
def cell():
    return Cell()


def test_cell_shows_notes_table_progress_and_results(cell, monkeypatch):
    monkeypatch.setattr(views, "REDRAW_SECONDS", 0)
    clock = iter([0.0] + [10.0 + n for n in range(20)])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with NotebookView(cell) as view:
        view.begin_run(Path("outputs/run"))
        assert cell.html == "<div>run: TensorFlow and the data are loaded</div>"
        view.show_line("5 < 6 images")
        view.begin_phase(0, 100, 2)
        view.show_step(1, 10, 0.5, 1234.0)
        view.show_step(1, 20, 0.25, 1234.0)
        assert "epoch 1/2, loss 0.2500, 1,234 images/s" in cell.html
        assert '<progress value="20" max="100">' in cell.html
        view.show_epoch(ROW, "the line")
        assert (
            "<td>1/2</td><td>1.0000</td><td>0.5000</td><td>0.9000</td><td>0.6000</td>" in cell.html
        )
        view.show_results(REPORT)
        view.show_line("done")
    assert "5 &lt; 6 images" in cell.html
    assert "<progress" not in cell.html
    assert "0.7500" in cell.html
    assert cell.html.index("5 &lt;") < cell.html.index("<table") < cell.html.index("done")
    assert cell.shown[-1]["text/plain"] == "5 < 6 images\nthe line\ndone"


def test_time_left_follows_from_the_steps_of_this_life(cell, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    view = NotebookView(cell)
    view.begin_phase(50, 100, 2)  # resumed
    view.show_step(1, 60, 0.5, 1.0)
    assert "left" not in view.state
    now[0] += 8  # 20 steps in 8 seconds: 20 others take as long
    view.show_step(1, 80, 0.5, 1.0)
    assert re.search(r", 8.0 s left$", view.state)


def test_fast_epochs_are_drawn_seldom_and_the_last_one_always(cell):
    with NotebookView(cell) as view:
        view.begin_phase(0, 1000, 1000)
        for epoch in range(1, 1001):
            view.show_epoch(ROW | {"epoch": epoch}, f"epoch {epoch}")
        assert len(cell.shown) < 10
    assert "<td>1000/1000</td>" in cell.html
    assert cell.html.count("<tr>") == 1 + views.EPOCHS_SHOWN


def test_nothing_is_drawn_for_a_run_that_is_refused(cell):
    with NotebookView(cell):
        pass
    assert cell.shown == []


def test_epochs_without_validation_are_shown(cell):
    rows = {key: value for key, value in ROW.items() if not key.startswith("valid.")}
    with NotebookView(cell) as view:
        view.begin_phase(0, 2, 2)
        view.show_epoch(ROW, "")
        view.show_epoch(rows | {"epoch": 2}, "")  # of a refit
    assert "<td>2/2</td>" in cell.html


def test_lines_go_where_the_program_prints(capsys):
    with LineView() as view:
        view.show_line("a note")
        view.show_epoch(ROW, "epoch 1/2")
        view.show_results(REPORT)
    printed = capsys.readouterr().out
    assert printed.startswith("a note\nepoch 1/2\n")
    assert "0.7500" in printed


def test_a_script_gets_lines_or_nothing():
    assert type(choose_view(True)) is LineView
    assert type(choose_view(False)) is RunView
