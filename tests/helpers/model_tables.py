"""The tables of all test files of models, merged: what tests know of every model."""

import ast
from pathlib import Path

from cnntrain.spec import option_files

MODELS = sorted(file.stem for file in (option_files.CONF / "model").glob("*.yaml"))


def constants(name):
    """Return the tables of this name from all files of tests/models, merged into one."""
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
    """Return a list of the logits, followed by those of auxiliary heads."""
    return outputs if isinstance(outputs, list) else [outputs]
