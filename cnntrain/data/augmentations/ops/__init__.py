"""What augmentations are made of: whole batches of images in numpy."""
