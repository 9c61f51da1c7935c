"""Compiles the pipeline into TFX's intermediate representation, and writes the files that schedulers read."""
