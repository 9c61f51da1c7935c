"""The pipeline in TFX's intermediate representation, and the files by which schedulers run it."""
