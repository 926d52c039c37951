"""cnntrain: train image classifiers, where a run is a pure function of its spec."""

from cnntrain.keras_settings import decide_settings

__version__ = "0.1.0"

decide_settings()  # before anything can load Keras
