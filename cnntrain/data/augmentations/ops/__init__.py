"""Building blocks of the augmentations: numpy functions on whole batches of images."""
