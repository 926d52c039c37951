"""cnntrain: train image classifiers, where a run is a pure function of its spec."""

__version__ = "0.1.0"
