"""From the words of a command to a checked, frozen spec."""
