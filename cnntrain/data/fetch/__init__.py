"""Sources of images: downloads, archives, folders and TensorFlow Datasets."""
