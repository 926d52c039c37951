"""The lines that a terminal shows while a run trains."""

import io

import pytest
from rich.console import Console as RichConsole

from cnntrain.running.progress import RunConsole, TerminalView
from cnntrain.runs.directory import Run

ROW = {
    "epoch": 1, "train.loss": 1.0, "train.accuracy": 0.5, "valid.loss": 0.9, "valid.accuracy": 0.6,
    "valid.macro_f1": 0.4321, "learning_rate": 0.1, "images_per_second": 10.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("monitor", "shown"), [("valid.macro_f1", True), ("valid.accuracy", False)]
)
def test_epoch_shows_the_number_that_is_monitored(spec, tmp_path, monitor, shown):
    terminal = RichConsole(file=io.StringIO(), width=200)
    RunConsole(Run(tmp_path), spec(f"monitor={monitor}"), TerminalView(terminal)).epoch(ROW)
    line = terminal.file.getvalue()
    assert "valid loss 0.9000  accuracy 0.6000" in line
    assert ("accuracy 0.6000  macro f1 0.4321" in line) == shown
