"""Benchmarks: one command for each number that the documents quote."""
