"""Sweeps and searches, `cnntrain -m`: their jobs, what runs them, and how they are shown."""
