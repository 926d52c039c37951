"""What is done with the network of a finished run: open, evaluate, predict with and export it."""
