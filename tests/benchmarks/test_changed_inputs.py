"""Benchmark of changed inputs: its windows, its verdict, and when a difference counts as worse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.changed_inputs import Scored, compared, configs, verdict
from benchmarks.transformed import transform_span
from pipeline.simulator import simulate


@pytest.mark.slow
def test_a_window_keeps_its_earlier_spans_where_the_features_change(tmp_path: Path) -> None:
    """Of two days of 1,000 impressions; day 2 adds a column, which the examples of day 1 lack."""
    simulate(tmp_path / "data", num_days=2, impressions_per_day=1000, seed=1, num_users=200, num_apps=100)
    (_, _, first), (_, change, second), *_ = configs()
    assert change == "+ developer"
    transform_span(first, tmp_path / "data", tmp_path / "workspace", 1)
    window = transform_span(second, tmp_path / "data", tmp_path / "workspace", 2)
    files = [path for split in ("train", "eval") for path in tf.io.gfile.glob(window.patterns(split))]
    assert 1800 < sum(1 for _ in tf.data.TFRecordDataset(files, "GZIP")) <= 2000  # without day 2's tail


def test_the_verdict_names_the_days_of_each_comparison() -> None:
    assert verdict({"unchanged": [4, 7], "cold": []}) == (
        "worse than unchanged beyond the interval on 2 of 9 days: 4, 7\n"
        "worse than cold beyond the interval on 0 of 9 days"
    )


def test_worse_is_beyond_the_interval_only() -> None:
    """400 rows, half of them with the label: scores by the label, by chance, and by nearly the same chance."""
    label = np.tile([0.0, 1.0], 200)
    rng = np.random.default_rng(1)
    good, noise, chance = 0.3 + 0.4 * label, rng.normal(0, 0.001, 400), rng.uniform(0.4, 0.6, 400)

    def scored(score: np.ndarray) -> Scored:
        return Scored(label, score, None)

    assert compared(scored(chance), scored(good))[2]
    assert not compared(scored(good), scored(chance))[2]
    assert compared(scored(good), scored(good)) == ("+0.0000 ± 0.0000", "+0.0000 ± 0.0000", False)
    assert not compared(scored(chance + noise), scored(chance))[2]
