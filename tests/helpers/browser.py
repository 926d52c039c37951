"""Chromium without a window, spoken to by the DevTools protocol over two pipes."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe",
)  # fmt: skip
# Chromium reads commands from file 3 and writes answers to file 4.
PLUMBING = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """A tab with one page, and what the page has written to its console."""

    def __init__(self, commands: Any, answers: Any) -> None:
        self.commands, self.answers = commands, answers
        self.numbers = itertools.count(1)
        self.session: dict[str, str] = {}
        self.errors: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters, **self.session}
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while True:
            answer = self.read_message()
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def read_message(self) -> dict[str, Any]:
        parts = []
        while (letter := self.answers.read(1)) != b"\0":
            assert letter, "the browser has gone"
            parts.append(letter)
        return json.loads(b"".join(parts))

    def open(self, page: Path) -> None:
        """Open a file, with the network switched off, and wait until it is loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Runtime", "Page", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=page.absolute().as_uri())
        self.run("new Promise((go) => document.readyState === 'complete' ? go() : onload = go)")

    def run(self, script: str) -> Any:
        """Return the value of an expression on the page, when its promise is kept."""
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def choose_file(self, selector: str, file: Path) -> None:
        """Choose a file in the input that a CSS selector finds, as a user would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)


@contextlib.contextmanager
def open_browser(page: Path, profile: Path) -> Iterator[Browser]:
    """Yield a browser that has opened a page; skip the test where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    read_commands, write_commands = os.pipe()
    read_answers, write_answers = os.pipe()
    plumbing = [sys.executable, "-c", PLUMBING, str(read_commands), str(write_answers)]
    process = subprocess.Popen(
        [*plumbing, program, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(read_commands, write_answers), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(read_commands)
    os.close(write_answers)
    with os.fdopen(write_commands, "wb") as commands, os.fdopen(read_answers, "rb") as answers:
        browser = Browser(commands, answers)
        try:
            browser.open(page)
            yield browser
        finally:
            process.kill()
            process.wait()
