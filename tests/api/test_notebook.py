"""docs/python.md as a notebook and as a script, and the buttons of a notebook."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from helpers.processes import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
TRAIN = 'cnntrain.train("model=mlp_256_128", folder="run", epochs={epochs})'


@pytest.fixture
def notebook(tmp_path):
    """Run cells in a notebook's kernel: notebook("1 + 1") -> a list of the outputs of each."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is in the extra dev")
    pytest.importorskip("ipykernel", reason="ipykernel is in the extra dev")
    from nbformat import v4

    def run(*cells, begin=lambda client: None, allow_errors=False):
        notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
        resources = {"metadata": {"path": str(tmp_path)}}
        client = nbclient.NotebookClient(
            notebook, timeout=600, allow_errors=allow_errors, resources=resources
        )
        begin(client)
        client.execute()
        return [cell.outputs for cell in notebook.cells]

    return run


@pytest.fixture
def photo(tmp_path):
    Image.new("L", (8, 8), 128).save(tmp_path / "seven.png")


def find_html(outputs):
    return [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]


def test_notebook_shows_a_table_a_run_and_a_mistake(notebook):
    cells = ["import cnntrain\nrun = " + TRAIN.format(epochs=2), "run", "cnntrain.train(epoch=3)"]
    trained, shown, refused = notebook(*cells, allow_errors=True)
    (table,) = find_html(trained)  # one output, drawn again and again
    assert "<td>2/2</td>" in table
    assert "best epoch" in table
    assert "data:image/png;base64," in find_html(shown)[0]
    (error,) = refused
    assert (error.ename, error.traceback[0]) == (
        "SpecError", "SpecError: epoch is not a setting"
    )  # fmt: skip
    assert error.traceback[-1] == "  try       epochs=3"
    assert len(error.traceback) == 3  # the way to it within cnntrain is left out


def test_notebook_shows_a_comparison_once(notebook, left_behind):
    left_behind("a", "seed=1")
    left_behind("b", "seed=2")
    ((shown,),) = notebook('import cnntrain\ncnntrain.compare("a", "b")')
    assert shown.output_type == "execute_result"
    assert "valid accuracy" in shown.data["text/plain"]
    assert "\x1b" not in shown.data["text/plain"]
    assert "<table" in shown.data["text/html"]


@pytest.mark.slow
def test_interrupt_button_stops_the_run_and_resume_goes_on(notebook, tmp_path):
    def press_button(client):
        def press_after_an_epoch():
            history = tmp_path / "run" / "history.csv"
            wait_until(lambda: history.exists() and history.stat().st_size > 200, None)
            os.killpg(client.km.provisioner.pgid, signal.SIGINT)  # as Jupyter does

        threading.Thread(target=press_after_an_epoch).start()

    cells = [
        "import cnntrain\n" + TRAIN.format(epochs=100_000),
        'run = cnntrain.load("run")\nbefore = run.status\nepochs = len(run.history)',
        "run.resume(epochs=epochs + 1, verbose=False)\n"
        "print(before, run.status, len(run.history) - epochs)",
    ]
    stopped, _, resumed = notebook(*cells, begin=press_button, allow_errors=True)
    error = stopped[-1]
    assert error.ename == "Interrupted"
    assert error.traceback[0] == "Interrupted: run was stopped, with a checkpoint"
    assert 'cnntrain.load("' in error.traceback[1]
    assert resumed[-1].text == "interrupted finished 1\n"


@pytest.mark.slow
def test_page_runs_as_a_notebook(notebook, photo):
    outputs = notebook(*BLOCKS)
    assert len(outputs) == len(BLOCKS)
    assert find_html(outputs[0])


@pytest.mark.slow
@pytest.mark.parametrize("from_a_thread", [False, True], ids=["script", "thread"])
def test_page_runs_as_a_script(tmp_path, photo, from_a_thread):
    program = tmp_path / "program.py"
    program.write_text("\n".join(BLOCKS), encoding="utf-8")
    call = (
        "import runpy, threading; t = threading.Thread(target=runpy.run_path, args=['program.py'])"
    )
    words = ["-c", f"{call}; t.start(); t.join()"] if from_a_thread else ["program.py"]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "epoch is not a setting epochs=3" in done.stdout
