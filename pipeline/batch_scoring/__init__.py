"""Scores raw rows with a pushed version, outside a run."""
