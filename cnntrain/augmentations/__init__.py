"""The augmentations: one file each, `f(images, labels, seed, *, knobs) -> (images, labels)`.

Whole batches (B, H, W, C), uint8 in and out, stateless: the parameters are drawn from `seed` (two
integers) first and applied second, so that another device can apply the same draw.
"""
