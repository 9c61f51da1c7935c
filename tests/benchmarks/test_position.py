"""The simulated log of a biased policy: what ignoring the position costs, and what the tower recovers, a slow test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

from benchmarks.position import MUST_COST, NUM_APPS, NUM_SEGMENTS, SHOWN, TRUTHS, Store, Truth, is_refused, measure


@pytest.mark.parametrize("truth", TRUTHS)
def test_shares_of_installs_that_ignore_the_position_order_worse(truth: Truth) -> None:
    """Of any number of rows: the shares of a hundred thousand requests of the policy, without their chance."""
    store, rng = Store.draw(truth, 1), np.random.default_rng(5)
    segment, apps = store.requests(100_000, rng)
    shown = np.take_along_axis(apps, np.argsort(-store.policy[segment, apps], axis=1), axis=1)
    sums, rows = np.zeros((2, NUM_SEGMENTS, NUM_APPS))
    cells = (np.broadcast_to(segment, shown.shape), shown)
    np.add.at(sums, cells, store.probability(segment, shown, np.arange(1, SHOWN + 1)))
    np.add.at(rows, cells, 1)
    best = store.installs(store.relevance, segment, apps)
    assert store.installs(sums / rows, segment, apps) < (1 - MUST_COST) * best
    assert store.installs(store.relevance + rng.normal(scale=0.1, size=sums.shape), segment, apps) < best


def test_the_log_says_with_what_chance_a_place_was_drawn(tmp_path: Path) -> None:
    store = Store.draw("additive", 1)
    store.write_log(tmp_path / "log.csv", 2000, 0.05, 3)
    log = pyarrow.csv.read_csv(tmp_path / "log.csv")
    chance = log["propensity"].to_numpy()
    assert sorted(set(chance.round(6))) == [0.005, 0.955]
    # Nine of ten places of the 5 % in a random order are not the policy's: 4.5 %, give or take √(2000 · 0.05) · 9 rows.
    assert (chance < 0.5).mean() == pytest.approx(0.045, abs=0.015)
    assert len(log) == 20_000
    store.write_log(tmp_path / "log.csv", 100, 0.0, 3)
    assert set(pyarrow.csv.read_csv(tmp_path / "log.csv")["propensity"].to_numpy()) == {1.0}


@pytest.mark.slow
def test_the_tower_recovers_most_of_the_regret(tmp_path: Path) -> None:
    """A fourth of the benchmark's log, in which the noise of the labels costs more."""
    result = measure("examination", 5000, tmp_path, 1)
    assert result.cost > MUST_COST
    assert result.recovered("tower") > 0.5


@pytest.mark.slow
def test_without_randomization_the_run_stops(tmp_path: Path) -> None:
    assert is_refused(tmp_path, 1)
