"""What is read off a network's graph: layers and their cost, receptive fields, memory."""
