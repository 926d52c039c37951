"""cnntrain: train image classifiers, where a run is a pure function of its spec."""

from cnntrain.keras_settings import apply_keras_settings

__version__ = "0.1.0"

apply_keras_settings()  # before anything can load Keras
