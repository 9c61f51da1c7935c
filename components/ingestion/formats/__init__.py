"""Readers of file formats: from a file's bytes to blocks of raw rows."""
