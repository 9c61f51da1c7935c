"""Warm start: a new model begins with the rows, weights and optimizer state of an earlier one, read from its files."""
