"""Runs a SavedModel in a process of its own and says what it does: `python -m serving.dry_run` (paper, section 4.3).

TensorFlow is all it imports, as a model server has nothing else. The process that asks judges the answers.
"""
