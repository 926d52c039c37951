"""The backend of Keras: TensorFlow, or JAX where KERAS_BACKEND=jax asks for it.

It is chosen before Keras is loaded, by the environment alone; `keras_settings` says why Keras' own
settings file is not read.
"""

import importlib.util
import os

from cnntrain.errors import SpecError
from cnntrain.spec.spec import Spec

BACKENDS = ("tensorflow", "jax")


def resolve_backend() -> str:
    """Return the backend of this process, and set KERAS_BACKEND to TensorFlow's where it is unset.

    Raises SpecError if it is unknown or not installed.
    """
    name = os.environ.setdefault("KERAS_BACKEND", BACKENDS[0])
    if name not in BACKENDS:
        raise SpecError(f"KERAS_BACKEND is {name}", BACKENDS, "KERAS_BACKEND=tensorflow")
    if importlib.util.find_spec(name) is None:
        raise SpecError(
            f"KERAS_BACKEND is {name}, which is not installed",
            "an installed backend",
            f"pip install 'cnntrain[{name}]', or KERAS_BACKEND=tensorflow",
        )
    return name


def check_backend_support(spec: Spec) -> None:
    """Raise SpecError if a spec asks for something that the backend cannot do."""
    if resolve_backend() != "jax":
        if spec.xla is True and spec.distribution.name != "single":
            raise SpecError(
                f"xla is true and distribution is {spec.distribution.name}",
                "xla=auto, because TensorFlow compiles the step of one device only",
                "xla=auto",
            )
        return
    if spec.xla is False:
        raise SpecError(
            "xla is false and KERAS_BACKEND is jax, which compiles everything with XLA",
            "xla=auto, or TensorFlow",
            "xla=auto",
        )
    if spec.distribution.name == "multi_worker":
        raise SpecError(
            "distribution is multi_worker and KERAS_BACKEND is jax",
            "distribution=mirrored or single, or TensorFlow",
            "KERAS_BACKEND=tensorflow",
        )
    if spec.threads is not None:
        raise SpecError(
            f"threads is {spec.threads} and KERAS_BACKEND is jax, which takes all cores",
            "threads=null, or TensorFlow",
            "taskset --cpu-list 0 cnntrain … limits a process to one core",
        )


def check_resumed_backend(began: str) -> None:
    """Raise SpecError if a run would go on with another backend than it began with.

    The random numbers of another backend differ, and so do the last bits of its results.
    """
    if resolve_backend() != began:
        raise SpecError(
            f"the run began with KERAS_BACKEND={began} and it is now {resolve_backend()}",
            "the backend that it began with",
            f"KERAS_BACKEND={began} cnntrain resume …, or a new run with init_from",
        )
