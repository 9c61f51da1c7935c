"""Scores of the evaluation examples: computed by a SavedModel, or kept by an earlier evaluation."""
