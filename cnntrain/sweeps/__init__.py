"""Sweeps and searches: `cnntrain -m`, and where their jobs run."""
