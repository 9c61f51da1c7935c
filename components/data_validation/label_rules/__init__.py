"""Rules on labels: lost ones, their share and its level, the baseline's scores, and leaks."""
