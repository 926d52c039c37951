"""What a run tells another process by events is what its own view would be told."""

import io
from pathlib import Path

import pytest

from cnntrain.errors import SpecError
from cnntrain.running.events import (
    MARK,
    REFUSAL,
    EventView,
    parse_line,
    read_refusal,
    replay_event,
    write_refusal,
)

CALLS = [
    ("begin_run", Path.cwd() / "größe"),
    ("begin_phase", 0, 20, 2),
    ("show_step", 1, 3, 0.1 + 0.2, 1e5),
    ("show_epoch", {"epoch": 1, "valid.loss": float("inf")}, "epoch 1/2"),
    ("show_results", {"test": {"best": {"loss": 0.5}}}),
]


class Recorder:
    """A view that keeps its calls."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))


def test_view_in_another_process_gets_the_same_calls():
    stream, view = io.StringIO(), Recorder()
    sender = EventView(stream)
    for name, *arguments in CALLS:
        getattr(sender, name)(*arguments)
    for line in stream.getvalue().removesuffix("\n").split("\n"):
        text, (name, *arguments) = parse_line(line)
        assert text == ""
        replay_event(name, arguments, view)
    assert view.calls == CALLS


def test_directory_does_not_depend_on_where_the_program_is():
    stream = io.StringIO()
    EventView(stream).begin_run(Path("outputs/run"))
    assert parse_line(stream.getvalue())[1] == ["begin_run", str(Path.cwd() / "outputs" / "run")]


def test_note_is_text_and_no_event():
    stream = io.StringIO()
    EventView(stream).show_line("a note")
    assert parse_line(stream.getvalue().rstrip("\n")) == ("a note", None)


@pytest.mark.parametrize("cut", ["", "[", '["show_step", 1', "3", "null"])
def test_event_that_was_cut_off_is_none(cut):
    assert parse_line(f"text before{MARK}{cut}") == ("text before", None)


def test_only_methods_of_a_view_are_called():
    view = Recorder()
    replay_event("__exit__", [], view)
    replay_event("show_line", ["text"], view)
    assert view.calls == []


@pytest.mark.parametrize("hint", [None, "epochs=3"])
def test_mistake_is_the_same_in_another_process(hint):
    stream, error = io.StringIO(), SpecError("epoch is not a setting", ["epochs", "seed"], hint)
    write_refusal(stream, error)
    _, (name, *arguments) = parse_line(stream.getvalue().rstrip("\n"))
    again = read_refusal(arguments)
    assert name == REFUSAL
    assert (again.given, again.expected, again.hint) == (error.given, error.expected, error.hint)
