"""What a network sees in one picture, for `cnntrain look`: a module for each way to look."""
