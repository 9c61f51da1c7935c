"""Stages of ingestion, each a Beam DoFn on parts of files, and the files that they hand to each other."""
