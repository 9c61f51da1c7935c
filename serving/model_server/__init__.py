"""A model server for development, tests and small stores. It speaks TF Serving's protocol: a move is a new address."""
