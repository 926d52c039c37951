"""What tests/models know of every model: a table of each family's file, as one."""

import ast
from pathlib import Path

from cnntrain.spec import option_files

MODELS = sorted(file.stem for file in (option_files.CONF / "model").glob("*.yaml"))


def constants(name):
    """A table of this name in every file of tests/models, a family each, as one."""
    tables = {}
    for file in sorted((Path(__file__).parents[1] / "models").glob("test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                tables |= dict(ast.literal_eval(node.value))
    return tables


# (option, image shape, classes, overrides) -> (total, trainable) parameters; None: not published.
COUNTS = constants("COUNTS")
SMALLEST = constants("SMALLEST")  # option -> the side of the images, where 32 is too small
FIXED = constants("FIXED")  # option -> the only image shape and number of classes that it takes
HEAVY = constants("HEAVY")  # option -> seconds or gigabytes to build: only where there is time


def as_list(outputs):
    """The logits, and those of auxiliary heads behind them."""
    return outputs if isinstance(outputs, list) else [outputs]
