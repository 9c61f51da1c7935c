"""Measures a model server under load: recorded requests, steady rates, and the best split of large requests."""
