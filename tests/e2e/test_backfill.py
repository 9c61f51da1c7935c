"""A missed day that is caught up on gives the same result as on time: the campaign's short form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.backfill import problems, run

pytestmark = pytest.mark.slow

NUM_MISSED = 1


def test_a_missed_day_is_caught_up_on(tmp_path: Path) -> None:
    assert problems(*run(tmp_path, NUM_MISSED), NUM_MISSED) == []
