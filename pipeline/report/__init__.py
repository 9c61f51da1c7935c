"""The outputs of a run: its report, the terminal's summary, Prometheus metrics and OpenLineage events."""
