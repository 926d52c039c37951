"""Runs side by side: what differs, which images they share, which setting is better."""
