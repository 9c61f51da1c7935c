"""Missed days that are caught up on come to what they would have on time: the campaign in its short form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.backfill import problems, run

pytestmark = pytest.mark.slow

NUM_MISSED = 2


def test_missed_days_are_caught_up_on_in_order(tmp_path: Path) -> None:
    assert problems(*run(tmp_path, NUM_MISSED), NUM_MISSED) == []
