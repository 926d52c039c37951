"""`cnntrain completion`: what a shell asks when someone presses the Tab key."""
