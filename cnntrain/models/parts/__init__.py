"""Parts that several networks share; none of them is a network."""
