"""`python -m cnntrain`, for where the command `cnntrain` is not on the path."""

import sys

if not sys.flags.safe_path:  # as for the command, no module lies in the directory where it is
    del sys.path[0]

from cnntrain.cli import main

if __name__ == "__main__":
    main()
