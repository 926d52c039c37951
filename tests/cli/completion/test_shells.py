"""Real shells: a line is typed, the Tab key is pressed, and the shell says what the line became."""

import os
import pty
import select
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from cnntrain.cli.completion.command import SHELLS

START = {  # each without the user's own settings
    "bash": ["bash", "--noprofile", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
LOAD = {
    "bash": 'eval "$(cnntrain completion bash)"',
    "zsh": 'autoload -Uz compinit && compinit -u && eval "$(cnntrain completion zsh)"',
    "fish": "cnntrain completion fish | source",
}
TYPED = {
    "cnntrain mod": "cnntrain model=",
    "cnntrain eval": "cnntrain evaluate",
    "cnntrain model=lenet5_": "cnntrain model=lenet5_1998",
    "cnntrain model=vgg16 model.hid": "cnntrain model=vgg16 model.hidden=",
    "cnntrain optimizer=sgd optimizer.nesterov=t": "cnntrain optimizer=sgd optimizer.nesterov=true",
    "cnntrain -m initializer=zeros,he_n": "cnntrain -m initializer=zeros,he_normal",
    "cnntrain los": "cnntrain loss.",
    "cnntrain optimizer.learning_rate=": "cnntrain optimizer.learning_rate=",
    "cnntrain export --quan": "cnntrain export --quantize",
    "cnntrain dataset.folder=my_ph": "cnntrain dataset.folder=my_photos",
    "cnntrain report out": "cnntrain report outputs/a_run",
    "cnntrain predict outputs/a_run my_ph": "cnntrain predict outputs/a_run my_photos",
}


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path, path: str):
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            home = {
                "HOME": str(folder),
                "XDG_CONFIG_HOME": str(folder),
                "XDG_DATA_HOME": str(folder),
            }
            os.execvpe(command[0], command, {"PATH": path, "TERM": "xterm", "PS1": "$ ", **home})
        self.shown = ""

    def read_until(self, text: str, seconds: float = 60) -> None:
        """Read what the shell shows until `text` stands there."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            ready, _, _ = select.select([self.file], [], [], max(0, end - time.monotonic()))
            assert ready, f"{text!r} never came: {self.shown!r}"
            self.shown += os.read(self.file, 4096).decode(errors="replace")

    def type(self, keys: str) -> None:
        self.shown = ""
        os.write(self.file, keys.encode())

    def complete(self, line: str) -> str:
        """Return what a line becomes when Tab is pressed at its end."""
        self.type(f"{line}\t\x01printf '%s\\n' '>>>' \x05 '<''<<'\r")
        self.read_until("<<<\r\n")
        words = self.shown.partition(">>>\r\n")[2].partition("<<<")[0].split()
        return " ".join(words).removesuffix("/")  # which zsh takes back when a word ends there

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.file)


@pytest.fixture
def place(tmp_path):
    """A folder with photos and a run, and the command `cnntrain`."""
    (tmp_path / "my_photos").mkdir()
    (tmp_path / "outputs" / "a_run").mkdir(parents=True)
    (tmp_path / "outputs" / "a_run" / "run.json").touch()
    program = tmp_path / "bin" / "cnntrain"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cnntrain "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.fixture
def open_shell(place):
    """Open a shell that has its script: open_shell("bash") -> Terminal."""
    terminals = []

    def open_one(shell: str) -> Terminal:
        if shutil.which(shell) is None:
            pytest.skip(f"no {shell} here")
        terminals.append(Terminal(START[shell], place, f"{place}/bin:{os.environ['PATH']}"))
        terminals[0].type(f"{LOAD[shell]}; echo load''ed\r")
        terminals[0].read_until("loaded\r\n")
        return terminals[0]

    yield open_one
    for terminal in terminals:
        terminal.close()


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_in_a_real_shell(shell, open_shell):
    terminal = open_shell(shell)
    assert {line: terminal.complete(line) for line in TYPED} == TYPED


def test_bash_completes_where_no_equals_sign_ends_a_word(open_shell):
    terminal = open_shell("bash")
    terminal.type("COMP_WORDBREAKS=' '; echo chang''ed\r")
    terminal.read_until("changed\r\n")
    assert terminal.complete("cnntrain model=lenet5_") == "cnntrain model=lenet5_1998"
