"""The entry point of the command `cnntrain`, and of `python -m cnntrain`."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line, which takes half a second, and run it.

    Ctrl-C while it loads ends the process without a traceback.
    """
    try:
        from cnntrain.cli.main import main as run_command_line
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)  # signals.INTERRUPTED, which may not be loaded yet
    run_command_line()


if __name__ == "__main__":
    if (
        not sys.flags.safe_path
    ):  # import nothing from the working directory, as the command does not
        del sys.path[0]
    main()
