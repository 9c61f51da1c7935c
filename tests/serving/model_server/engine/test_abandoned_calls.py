"""Tests that the server does not free a version while a call that its client has abandoned is still computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.abandoned_calls import stop_under_load, swap

pytestmark = pytest.mark.slow


def test_swaps_under_abandoned_calls_neither_crash_nor_fail_a_patient_client(tmp_path: Path) -> None:
    """The short form of `python -m tests.soak.abandoned_calls`."""
    calls, code = swap(tmp_path, num_swaps=5)
    assert code == 0
    assert calls.problems(num_swaps=10) == []


def test_stops_under_abandoned_calls_do_not_crash(tmp_path: Path) -> None:
    assert [stop_under_load(tmp_path) for _ in range(3)] == [0, 0, 0]
