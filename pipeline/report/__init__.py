"""What a run gives out: its report, the summary at the terminal, Prometheus metrics and OpenLineage events."""
