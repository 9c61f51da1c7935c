"""The data gate: a span's evidence, the rules that compare it with earlier spans, and the two components."""
