"""A warm start on the next day needs few of a cold start's steps: the benchmark's short form, on a small store."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.warm_start import SHARES, compare, transform_days
from pipeline.simulator import simulate
from transform.config.config_file import load_config

SMALL_STORE = Path(__file__).parent.parent / "e2e" / "small_store.yaml"


@pytest.mark.slow
def test_a_warm_start_is_as_good_as_a_cold_one_after_a_fifth_of_its_steps(tmp_path: Path) -> None:
    simulate(tmp_path / "data", num_days=3, impressions_per_day=20_000, num_users=1000, num_apps=100)
    days = transform_days(load_config(SMALL_STORE), tmp_path / "data", tmp_path / "workspace", 3)
    result = compare(days, 1, tmp_path / "model")
    assert result.cold_auc > 0.55  # it has learned something
    assert result.warm_aucs[SHARES.index(0.2)] >= result.cold_auc, result
