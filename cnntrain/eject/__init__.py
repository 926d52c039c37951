"""A run, written out as a script that needs nothing of ours."""
