"""While training, the first signal is remembered and a second acts; a double SIGTERM is one."""

import signal

import pytest

from cnntrain import signals
from cnntrain.signals import Signals, Terminated, raise_terminated


@pytest.fixture(autouse=True)
def usual():
    """Set the handlers of a process that is not training, and restore the old ones.

    A shell lets what it runs in the background ignore Ctrl-C.
    """
    usual = {signal.SIGTERM: raise_terminated, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_sigterm_twice_at_once_counts_once():
    """`timeout` sends it to the process and then to its group."""
    with Signals() as known:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Terminated):
        known.leave()


def test_sigterm_once_more_acts_at_once(monkeypatch):
    monkeypatch.setattr(signals, "REPEAT_SECONDS", 0.0)
    with Signals():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGTERM)


def test_second_ctrl_c_acts_at_once():
    with Signals():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_handlers_are_given_back():
    with Signals():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is raise_terminated
