"""Recipes with a number that can be checked: `cnntrain reproduce` trains them and compares."""
