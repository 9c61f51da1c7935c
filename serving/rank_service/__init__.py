"""The HTTP service `/rank` in front of a model server."""
