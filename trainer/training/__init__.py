"""Training: its input, its steps and epochs, its checkpoints, and the report of it."""
