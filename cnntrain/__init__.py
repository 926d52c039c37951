"""cnntrain: train image classifiers, where a run is a pure function of its spec.

>>> import cnntrain
>>> run = cnntrain.train("model=lenet5", dataset="mnist", epochs=5)
>>> run.predict("seven.png").labels

docs/python.md has the rest. What is offered here is loaded when it is used first.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cnntrain.keras_settings import apply_keras_settings

if TYPE_CHECKING:
    from cnntrain.api.compare import RunComparison, compare, sweep
    from cnntrain.api.evaluation import Evaluation
    from cnntrain.api.photo import load_photo
    from cnntrain.api.predictions import Predictions
    from cnntrain.api.process import Interrupted
    from cnntrain.api.run import Run, load
    from cnntrain.api.train import train
    from cnntrain.errors import Failure, SpecError

__version__ = "0.1.0"

__all__ = [
    "Evaluation", "Failure", "Interrupted", "Predictions", "Run", "RunComparison", "SpecError",
    "__version__", "compare", "load", "load_photo", "sweep", "train",
]  # fmt: skip

# Module -> the names that it offers.
_OFFERED = {
    "api.compare": ("RunComparison", "compare", "sweep"),
    "api.evaluation": ("Evaluation",),
    "api.photo": ("load_photo",),
    "api.predictions": ("Predictions",),
    "api.process": ("Interrupted",),
    "api.run": ("Run", "load"),
    "api.train": ("train",),
    "errors": ("Failure", "SpecError"),
}

apply_keras_settings()  # before anything can load Keras

if not TYPE_CHECKING:  # for a type checker all names are imported above

    def __getattr__(name: str) -> Any:
        for module, names in _OFFERED.items():
            if name in names:
                return getattr(import_module(f"cnntrain.{module}"), name)
        raise AttributeError(f"module 'cnntrain' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
