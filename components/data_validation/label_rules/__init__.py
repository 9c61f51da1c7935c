"""Rules on labels: lost ones, their share and its level, the serving model's scores, and leaks."""
