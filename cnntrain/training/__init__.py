"""Training: what a spec and its splits become, step by step, up to the report."""
