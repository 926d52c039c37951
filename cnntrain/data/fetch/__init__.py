"""Where images come from: downloads, archives, folders, TensorFlow Datasets."""
