"""The command line: a file for each verb, which parses, calls one function and prints."""
