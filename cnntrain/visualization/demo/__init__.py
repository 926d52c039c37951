"""A page that contains a network, runs it in the browser, and needs nothing else."""
