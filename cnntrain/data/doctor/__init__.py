"""The doctor of `data verify`: what is wrong with images and labels, beyond broken files."""
