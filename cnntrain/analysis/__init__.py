"""Read off a network's graph what its layers cost, see of the image, and keep in memory."""
