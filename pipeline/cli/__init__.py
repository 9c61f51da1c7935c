"""The command line `wdr`: one module for each group of commands."""
