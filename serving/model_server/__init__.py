"""A model server for development, tests and small stores. It has TF Serving's API: clients change only the address."""
