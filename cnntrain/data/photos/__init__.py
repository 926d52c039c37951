"""Photos: what one becomes, how many are decoded, where they are kept decoded."""
