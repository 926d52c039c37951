"""`cnntrain look`: show what a network sees in one picture. Each section has a module."""
