"""Runs the pipeline: all nodes in this process, or one node as a scheduler's task."""
