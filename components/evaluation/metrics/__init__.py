"""Metrics of columns of rows: exact values, their bootstrap replicates, and differences of two models."""
