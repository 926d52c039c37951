"""Before a run: what it would take, and whether the machine is fit."""
