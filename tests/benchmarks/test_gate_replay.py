"""Good days pass and declines are stopped: the benchmark's short form, with a fixed seed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gate_replay import MAX_LOSS, largest_loss, noise_of, refused_share
from transform.config.quality import Quality


@pytest.mark.parametrize("rows", [4_000, 30_000])
def test_of_a_thousand_good_days_at_most_five_are_refused(rows: int) -> None:
    draw = np.random.default_rng(7)
    assert refused_share(noise_of(rows, draw), 1_000, draw, Quality()) <= 0.005


@pytest.mark.parametrize("decline", [0.002, 0.005])
def test_a_decline_is_stopped_before_too_much_is_lost(decline: float) -> None:
    draw = np.random.default_rng(7)
    noise = noise_of(20_000, draw)
    assert max(largest_loss(noise, decline, draw, Quality()) for _ in range(20)) < MAX_LOSS


def test_without_a_bound_a_decline_goes_on() -> None:
    """Shows that the test above would detect a gate that does not stop a decline."""
    draw = np.random.default_rng(7)
    lax = Quality(max_auc_loss=1.0, max_logloss_rise=1.0)
    assert largest_loss(noise_of(20_000, draw), 0.002, draw, lax) > 2 * MAX_LOSS
