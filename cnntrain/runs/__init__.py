"""The directory of a run: written, claimed, resumed from, and read back, whoever made it."""
