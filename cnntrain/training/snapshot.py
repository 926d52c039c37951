"""Save a network as it was at one moment, while its training goes on."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from cnntrain.runs.directory import Run


def take_snapshot(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Return copies, in the host's memory, of the values that variables have now."""
    return [variable.numpy() for variable in variables]


def save_snapshot(
    run: Run, network: keras.Model, values: Sequence[np.ndarray], path: Path
) -> None:
    """Save a network with `values` in place of those of `network.variables`, in any thread.

    The variables stay as they are: for Keras, their values are others in this thread only.
    """
    scope = keras.StatelessScope(initialize_variables=False)
    for update in zip(network.variables, values, strict=True):
        scope.add_update(update)  # state_mapping would copy the values to the device
    with scope:
        run.save_network(network, path)
