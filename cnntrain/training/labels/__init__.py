"""What depends on whether an image has one label or may have several."""
