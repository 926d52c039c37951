"""The network that is trained: built, normalised, given the weights it begins with."""
