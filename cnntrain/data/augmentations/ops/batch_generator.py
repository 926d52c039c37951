"""Random numbers for a batch, and what stays of its images from one epoch to the next."""

import numpy as np


class BatchGenerator(np.random.Generator):
    """Random numbers for a batch, with the half of the images that this epoch's turn is.

    `half` (B,) says which images of the batch belong to it. In the next epoch it is the other half.
    """

    def __init__(self, bits: np.random.BitGenerator, half: np.ndarray):
        super().__init__(bits)
        self.half = half
