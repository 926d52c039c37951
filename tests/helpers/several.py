"""Real digits with several labels each: what is true of the digit. Of a one nothing is."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from cnntrain.data.datasets.digits import digits as load_digits

PROPERTIES = {
    "even": (0, 2, 4, 6, 8),
    "loop": (0, 6, 8, 9),
    "prime": (2, 3, 5, 7),
    "large": (5, 6, 7, 8, 9),
    "seven": (7,),
}


def load_properties(data_dir, manual_dir, *, margin):
    """Return the digits as a `Source` whose labels are their properties."""
    source = load_digits(data_dir, manual_dir, margin=margin)
    columns = [np.isin(source.labels, members) for members in PROPERTIES.values()]
    labels = np.stack(columns, axis=1).astype(np.uint8)
    return replace(source, labels=labels, class_names=tuple(PROPERTIES))


@contextmanager
def use_properties():
    """Let `dataset=digits` have several labels an image, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cnntrain.data.datasets.digits.digits", load_properties)
        for module in ("cnntrain.spec.compose", "cnntrain.running.run"):
            patch.setattr(f"{module}.peek_several_labels", lambda config: True)
        yield
