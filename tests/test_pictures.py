"""scripts/pictures.py draws what a terminal shows, not all that was ever written to it."""

import importlib.util
import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

SCRIPT = Path(__file__).parents[1] / "scripts" / "pictures.py"


@pytest.fixture(scope="module")
def pictures():
    pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")
    spec = importlib.util.spec_from_file_location("pictures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_screen_keeps_lines_above_a_live_line_that_is_erased(pictures):
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=60)
    with Progress(console=console, transient=True) as live:
        task = live.add_task("training", total=2)
        for name in ("one", "two"):
            live.update(task, advance=1, refresh=True)
            console.print(name)
        live.refresh()
    output = written.getvalue().replace("\n", "\r\n")  # as a terminal gets it
    lines = [Text.from_ansi(line).plain.rstrip() for line in pictures.render_screen(output)]
    assert [line for line in lines if line] == ["one", "two"]
    half = output[: output.rindex("100%") + 4]
    lines = [Text.from_ansi(line).plain for line in pictures.render_screen(half)]
    assert lines[:2] == ["one", "two"]
    assert lines[2].startswith("training")
