"""A run's result as others read it: Prometheus, OpenLineage and MLflow."""
