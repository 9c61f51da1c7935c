"""Runs a SavedModel in a separate process and reports its behaviour: `python -m serving.dry_run` (paper, section 4.3).

The process imports only TensorFlow, as a model server does. The parent process judges the answers.
"""
