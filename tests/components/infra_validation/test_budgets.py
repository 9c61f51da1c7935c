"""Budgets: a sentence for each exceeded one, with the rule, the value received, and the baseline's."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from components.infra_validation.budgets import OtherLoad, missed_budgets
from components.infra_validation.verdict import Latency, Measurements
from transform.config.infra_validation import InfraValidation

NONE = InfraValidation(max_latency_ms=None, max_memory_mb=None, max_size_mb=None)
CANDIDATE = Measurements(
    load_seconds=3.0,
    size_mb=80.0,
    peak_memory_mb=900.0,
    memory_mb=240.0,
    latency=(
        Latency(200, 1, p50_ms=30.0, p95_ms=34.0, p99_ms=39.0),
        Latency(100, 2, p50_ms=20.0, p95_ms=28.0, p99_ms=29.0),
        Latency(50, 4, p50_ms=25.0, p95_ms=27.0, p99_ms=31.0),
    ),
)
#: Two thirds of the candidate's memory, a quarter of its files, half of its best latency.
BASELINE = Measurements(
    load_seconds=1.0,
    size_mb=20.0,
    peak_memory_mb=600.0,
    memory_mb=160.0,
    latency=(Latency(200, 1, p50_ms=10.0, p95_ms=12.0, p99_ms=15.0),),
)


def missed(baseline: Measurements | None = BASELINE, **budgets: Any) -> list[str]:
    return [miss.sentence for miss in missed_budgets(dataclasses.replace(NONE, **budgets), CANDIDATE, baseline)]


@pytest.mark.parametrize(
    ("budget", "limit", "below", "sentence"),
    [
        (
            "max_latency_ms", 28.0, 27.9,
            "the 95th percentile of the time for 200 candidates must be at most 27.9 ms. Received: 28 ms at 2 × 100",
        ),
        ("max_memory_mb", 900.0, 899.0, "the memory of the model's process must be at most 899 MB. Received: 900 MB"),
        ("max_load_seconds", 3.0, 2.5, "the time to load the model must be at most 2.5 s. Received: 3 s"),
        ("max_size_mb", 80.0, 79.5, "the size of the model's files must be at most 79.5 MB. Received: 80 MB"),
        (
            "max_latency_ratio", 2.0, 1.9,
            "the median time for 200 candidates must be at most 1.9 times the baseline's. "
            "Received: 20 ms after 10 ms",
        ),
        (
            "max_memory_ratio", 1.5, 1.4,
            "the memory that the model adds must be at most 1.4 times the baseline's. "
            "Received: 240 MB after 160 MB",
        ),
        (
            "max_size_ratio", 4.0, 3.9,
            "the size of the model's files must be at most 3.9 times the baseline's. Received: 80 MB after 20 MB",
        ),
    ],
)  # fmt: skip
def test_a_budget_holds_to_its_very_limit(budget: str, limit: float, below: float, sentence: str) -> None:
    assert missed(BASELINE, **{budget: limit}) == []
    assert missed(BASELINE, **{budget: below}) == [sentence]


def test_every_missed_budget_is_told() -> None:
    assert len(missed(max_latency_ms=1, max_memory_mb=1, max_size_mb=1, max_latency_ratio=1, max_size_ratio=1)) == 5


def test_a_first_model_is_held_against_nothing() -> None:
    assert missed(None, max_latency_ratio=1, max_memory_ratio=1, max_size_ratio=1) == []


def test_budgets_are_absolute_by_default() -> None:
    """A relative budget would let costs grow a little every day, and refuse a catalog that grows."""
    assert list(missed_budgets(InfraValidation(), CANDIDATE, BASELINE)) == []
    slow = (Latency(200, 1, p50_ms=150.0, p95_ms=201.0, p99_ms=210.0),)
    costly = dataclasses.replace(CANDIDATE, peak_memory_mb=4001.0, size_mb=2001.0, latency=slow)
    assert [miss.what for miss in missed_budgets(InfraValidation(), costly, costly)] == [
        "the 95th percentile of the time for 200 candidates",
        "the memory of the model's process",
        "the size of the model's files",
    ]


def test_the_load_is_that_of_other_processes() -> None:
    """Another process, which is no child of this one, keeps one core busy for a second; this one does nothing."""
    busy = "import os, time\nif os.fork() == 0:\n  end = time.monotonic() + 1.5\n  while time.monotonic() < end: pass"
    load = OtherLoad()
    subprocess.run([sys.executable, "-c", busy], check=True)
    time.sleep(1)
    found = re.fullmatch(r"other processes used ([\d.]+) of the machine's (\d+) cores, and [\d,]+ MB .*", load.words())
    assert found is not None, load.words()
    assert float(found[1]) >= 0.5
    assert int(found[2]) == os.cpu_count()
