"""The command line `wdr`: one module per group of commands."""
