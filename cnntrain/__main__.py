"""`python -m cnntrain` is `cnntrain`."""

from cnntrain.cli import main

if __name__ == "__main__":
    main()
