"""The process of a sweep's job: it trains one run, and ends cleanly when its sweep is gone.

Its standard input is a pipe that the sweep holds open. If the sweep dies, by whatever signal, the
pipe ends: on every system, the run saves a checkpoint and leaves.
"""

import os
import signal
import threading

from cnntrain.cli.main import main


def stop_with_parent() -> None:
    """Wait for the end of the pipe, to which nobody writes; then send this process SIGTERM."""
    os.read(0, 1)  # not sys.stdin: Python cannot end while another thread holds its lock
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=stop_with_parent, daemon=True).start()
    main()
