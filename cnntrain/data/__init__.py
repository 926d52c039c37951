"""Images and labels: sources, photos, splits, augmentations and batches."""

from cnntrain.data.load import load_photo

__all__ = ["load_photo"]
