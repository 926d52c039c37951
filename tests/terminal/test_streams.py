"""Streams may be closed, full or without Unicode, as in pipes, daemons and old terminals."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = f"{shlex.quote(sys.executable)} -m cnntrain"
SHORT = "epochs=1 max_steps=1 tracking=none hydra.run.dir=run"
FULL = Path("/dev/full")


@pytest.fixture
def shell(tmp_path):
    """Run a line of bash in an empty directory; {cnntrain} stands for the command."""

    def run(line: str, **environment: str) -> subprocess.CompletedProcess:
        words = ["bash", "-c", line.replace("{cnntrain}", PROGRAM)]
        return subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, check=False,
            env=os.environ | environment,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("words", ["list model", "list", "--help", "list --json", "data list"])
def test_closed_pipe_exits_141_without_a_message(shell, words):
    done = shell(f"{{cnntrain}} {words} | true; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout.strip(), done.stderr) == ("141", "")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", ["list model", "--help", "list --json"])
def test_full_output_exits_1_with_one_line(shell, words):
    done = shell(f"{{cnntrain}} {words} > /dev/full")
    assert (done.returncode, done.stderr) == (1, "Failed: No space left on device\n")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_mistake_exits_2_also_without_a_stream_to_print_on(shell):
    for redirected in ("2> /dev/full", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        assert shell(f"{{cnntrain}} epochs=0 {redirected}").returncode == 2


def test_words_that_an_encoding_lacks_are_question_marks(shell):
    done = shell("{cnntrain} list model", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "?" in done.stdout
    done = shell("{cnntrain} model=größe", PYTHONIOENCODING="ascii")
    assert (done.returncode, "gr??e" in done.stderr) == (2, True)


def test_words_that_are_no_text_are_refused(shell):
    for line in ("{cnntrain} data_dir=$'\\xff'", "{cnntrain} evaluate $'\\xff'"):
        done = shell(line)
        assert (done.returncode, "is not text in UTF-8" in done.stderr) == (2, True)


def test_working_directory_that_is_gone_is_answered(shell):
    done = shell("mkdir x; cd x; rmdir ../x; {cnntrain} epochs=1")
    assert done.returncode == 2
    assert "the working directory cannot be read: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_daemon_trains_without_any_stream(shell, tmp_path):
    done = shell(f"{{cnntrain}} {SHORT} <&- >&- 2>&-")
    assert done.returncode == 0
    assert '"finished"' in (tmp_path / "run" / "run.json").read_text()
    assert "epoch 1/1" in (tmp_path / "run" / "train.log").read_text()


@pytest.mark.slow
def test_sweep_runs_without_any_stream(shell, tmp_path):
    line = "{cnntrain} -m seed=1,2 epochs=1 max_steps=1 tracking=none hydra.sweep.dir=s"
    assert shell(f"{line} <&- >&- 2>&-").returncode == 0
    assert len(list(tmp_path.glob("s/*/report.json"))) == 2


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_training_goes_on_where_its_output_is_full(shell, tmp_path):
    done = shell(f"{{cnntrain}} {SHORT} > /dev/full")
    assert (done.returncode, done.stderr) == (0, "")
    assert '"finished"' in (tmp_path / "run" / "run.json").read_text()


def test_ctrl_c_while_the_command_line_is_loaded_is_an_interrupt(tmp_path):
    code = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'cnntrain.cli.main':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from cnntrain.__main__ import main\n"
        "main()\n"
    )
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")
