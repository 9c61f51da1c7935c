"""The gate on a span's data: its evidence, the rules that hold it against earlier spans, and the two components."""
