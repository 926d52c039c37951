"""The process of a job: the command of a run alone, which ends cleanly when its sweep is gone.

Its standard input is a pipe that the sweep holds open. Where the sweep dies, by whatever signal,
the pipe ends: the run writes its checkpoint and leaves, on every system, without a word
from its parent.
"""

import os
import signal
import threading

from cnntrain.cli.main import main


def stop_with_sweep() -> None:
    """Wait for the end of the pipe, to which nobody writes."""
    os.read(0, 1)  # not sys.stdin: Python cannot end while another thread holds its lock
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=stop_with_sweep, daemon=True).start()
    main()
