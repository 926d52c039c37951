"""The filters of image processing before networks learnt theirs: 3x3 kernels on grey pictures."""

import numpy as np
from scipy.ndimage import correlate

KERNELS = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "blur": [[1 / 16, 1 / 8, 1 / 16], [1 / 8, 1 / 4, 1 / 8], [1 / 16, 1 / 8, 1 / 16]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
    "outline": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
    "Sobel, left to right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "Sobel, top to bottom": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
}
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey (ITU-R BT.601)


def grey(image: np.ndarray) -> np.ndarray:
    """The brightness (H, W) float64, 0 to 255, of an image (H, W, 1 or 3)."""
    return image[..., 0].astype(float) if image.shape[-1] == 1 else image @ np.array(LUMA)


def responses(image: np.ndarray) -> dict[str, np.ndarray]:
    """Return what each kernel makes of an image (H, W, C) uint8: (H, W) float64.

    As networks do it, the kernel is not mirrored; beyond the edges the picture goes on as it ends.
    """
    picture = grey(image)
    return {
        name: correlate(picture, np.array(kernel, float), mode="nearest")
        for name, kernel in KERNELS.items()
    }
