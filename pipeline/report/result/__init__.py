"""A run's result as one tree, read once from ML Metadata and artifacts; every output of a run is a view of it."""
