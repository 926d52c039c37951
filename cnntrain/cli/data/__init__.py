"""`cnntrain data`: data sets listed, prepared, verified, shown."""
