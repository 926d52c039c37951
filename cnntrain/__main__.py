"""The way in: the command `cnntrain`, and `python -m cnntrain` where that is not on the path."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line, which takes half a second, and run it; Ctrl-C ends that, too."""
    try:
        from cnntrain.cli.main import main as run_command_line
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)  # signals.INTERRUPTED, which may not be there yet
    run_command_line()


if __name__ == "__main__":
    if not sys.flags.safe_path:  # as for the command, no module lies in the directory where it is
        del sys.path[0]
    main()
