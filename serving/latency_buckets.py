"""The histogram of the requests' times, the same for the model server and the ranking service."""

from __future__ import annotations

#: Upper bounds in seconds, closest to each other where latencies are expected.
LATENCY_BUCKETS = (
    *(0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.012, 0.014, 0.017, 0.02),
    *(0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
