"""The pages of runs: one self-contained HTML page per run, an index over all runs, and a model card."""
