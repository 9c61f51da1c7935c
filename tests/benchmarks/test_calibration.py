"""Scores of the next day are calibrated: the benchmark's short form, on a small store."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from benchmarks.calibration import AS_LOGGED, prepare_days, train_versions
from pipeline.simulator import simulate
from transform.config.config_file import parse_config

SMALL_STORE = Path(__file__).parent.parent / "e2e" / "small_store.yaml"


@pytest.mark.slow
def test_scores_are_right_on_average_where_values_are_unknown_or_missing(tmp_path: Path) -> None:
    """Training has not seen the next day's weekday; and strong dropout must not bias the scores."""
    config = yaml.safe_load(SMALL_STORE.read_text(encoding="utf-8"))
    config["features"].append({"name": "weekday", "side": "context", "kind": "categorical", "vocabulary": {}})
    config["model"] = {"embedding_dim": 16, "hidden_units": [128, 64], "dropout": 0.5}
    simulate(tmp_path / "data", num_days=2, impressions_per_day=20_000, num_users=1000, num_apps=100)
    days, next_days = prepare_days(parse_config(config, "test"), tmp_path / "data", tmp_path / "workspace", 2)
    (measured,) = train_versions(days, next_days, seed=1, folder=tmp_path / "models")
    # Among 20,000 rows, the number of installs alone has a standard deviation of 2.7 %.
    assert 0.9 < measured[AS_LOGGED].calibration < 1.1
    for change, of_change in measured.items():
        assert 0.8 < of_change.calibration < 1.25, change
