"""Load TensorFlow without the lines that its libraries print at any log level."""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

LOCK = threading.RLock()  # a process has one standard error, which threads silence in turn


@contextlib.contextmanager
def silence_stderr() -> Iterator[None]:
    """Hold back standard error, that of C++ too, in the block; print it if the block fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with LOCK, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:  # Ctrl-C is no failure
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
