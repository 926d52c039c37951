"""The script that `cnntrain eject` writes, with the branches of every run that can be written out.

Each module but the last two is a part of a script, whose title is its first line. `script.py` gives
the settings the values of a run, keeps the branches that they choose, and puts what is imported
from our other modules in place. What stands here in place of a module of ours is its arithmetic
without what a script does not need: checkpoints, progress, several devices.
"""
