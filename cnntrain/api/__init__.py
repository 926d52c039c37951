"""The Python API: what `import cnntrain` offers, loaded when it is used."""
