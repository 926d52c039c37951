"""The configuration as a JSON schema, for editors."""
