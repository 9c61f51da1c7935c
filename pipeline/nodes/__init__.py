"""The nodes of the pipeline: what each is given, and what it reads."""
