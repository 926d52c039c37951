"""Before a run: plan the memory and time that it would take, and check the machine."""
