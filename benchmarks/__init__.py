"""Benchmarks: one command for each number that README quotes."""
