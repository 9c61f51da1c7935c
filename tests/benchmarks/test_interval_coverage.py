"""Intervals by user cover the true change as often as they say, and those by request do not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.interval_coverage import METRICS, coverage, equal_models


def test_the_two_models_of_a_pair_err_alike() -> None:
    pair = equal_models(np.random.default_rng(0), 20_000)
    assert pair.labels.mean() == pytest.approx(0.075, abs=0.02)
    losses = -np.log(np.where(pair.labels[..., None] == 1, pair.scores, 1 - pair.scores)).mean(axis=(0, 1))
    assert losses[0] == pytest.approx(losses[1], abs=0.002)


@pytest.mark.slow
def test_intervals_by_user_cover_19_times_in_20() -> None:
    found = coverage(num_pairs=80, num_users=150)
    by_user = {name: found[name, "user"].share for name in METRICS}
    assert min(by_user.values()) >= 0.875, by_user  # 0.95 less three standard errors of 80 draws
    assert found["logloss", "request"].share < 0.85
    for name in METRICS:
        assert found[name, "user"].half_width > found[name, "request"].half_width
