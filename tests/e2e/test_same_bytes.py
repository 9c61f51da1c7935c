"""A day in several files of examples: the same bytes from one process and from two workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.e2e import store
from tests.soak.same_bytes import Days, compare, differences

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_two_workers_leave_the_bytes_of_one_process(data: Path, tmp_path: Path) -> None:
    """The first day's 4,000 impressions, in files of 30 kB of logs; `tests.soak.same_bytes` has the other workers."""
    assert compare(Days(store.CONFIG, data, 30_000, (1,)), tmp_path, ["workers"], Console()) == []


def test_each_difference_is_named() -> None:
    expected = {"a": [b"1"], "b": [b"2"], "c": [b"3"], "e": [b"5", b"5"]}
    received = {"a": [b"1"], "b": [b"3"], "d": [b"4"], "e": [b"5"]}
    assert differences(expected, received) == ["c is missing", "d is unexpected", "b differs", "e differs"]
