"""Parts that several networks are built of; none is a network."""
