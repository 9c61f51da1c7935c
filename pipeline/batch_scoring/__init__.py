"""Batch scoring: scores raw rows with a pushed version, outside a pipeline run."""
