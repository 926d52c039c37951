"""Save a network as it was at one moment, while its training goes on.

The file is the one that `network.save` would have written at that moment, byte for byte but for
its date. Until it is written the network's layers must stay as they are (only values may change),
and no other network may be built: Keras then forgets the scopes of all threads.
"""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from cnntrain.runs.directory import Run


def take_snapshot(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Return copies, in the host's memory, of the values that variables have now."""
    return [variable.numpy() for variable in variables]


def save_snapshot(run: Run, network: keras.Model, values: Sequence[np.ndarray], path: Path) -> None:
    """Save a network with `values` in place of those of `network.variables`, in any thread.

    They are a snapshot of these variables, or of others of these shapes, such as the EMA's.
    The variables stay as they are: only this thread sees `values` in them.
    """
    scope = keras.StatelessScope(initialize_variables=False)
    for update in zip(network.variables, values, strict=True):
        scope.add_update(update)  # state_mapping would copy the values to the device
    with scope:
        run.save_network(network, path)
