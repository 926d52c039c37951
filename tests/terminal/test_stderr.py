"""Standard error is silenced for a while, whoever else silences it."""

import os
import threading

from cnntrain.terminal.stderr import silence_stderr


def test_threads_that_silence_it_at_once_leave_it_as_it_was():
    before, entered, left = os.fstat(2), threading.Event(), threading.Event()

    def load():
        with silence_stderr():
            entered.set()
            left.wait(10)

    other = threading.Thread(target=load)
    with silence_stderr():
        other.start()
        entered.wait(0.2)
    left.set()
    other.join()
    after = os.fstat(2)
    assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino)
