"""Measures how fast a simulated day is drawn and written: `python -m benchmarks.simulate`."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from pipeline.simulator import simulate

NUM_IMPRESSIONS = 500_000
NUM_USERS = 50_000
NUM_APPS = 5_000
NUM_REPEATS = 5
FORMATS = ("csv", "parquet")


def impressions_per_second(file_format: str) -> float:
    """Simulates one day from scratch, with all its files; returns impressions per second."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        simulate(
            Path(folder),
            num_days=1,
            impressions_per_day=NUM_IMPRESSIONS,
            format=file_format,
            num_users=NUM_USERS,
            num_apps=NUM_APPS,
        )
        return NUM_IMPRESSIONS / (time.perf_counter() - start)


def main() -> None:
    """Prints the speed for each format: median, min and max over the repeats, after one warm-up."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"one day of {NUM_IMPRESSIONS:,} impressions, {NUM_USERS:,} users, {NUM_APPS:,} apps; {NUM_REPEATS} repeats")
    for file_format in FORMATS:
        impressions_per_second(file_format)
        speeds = [impressions_per_second(file_format) for _ in range(NUM_REPEATS)]
        print(
            f"{file_format:8} {statistics.median(speeds):>10,.0f} impressions/s"
            f" (min {min(speeds):,.0f}, max {max(speeds):,.0f})"
        )


if __name__ == "__main__":
    main()
