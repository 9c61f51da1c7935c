"""The config of the served days, from the store's."""

from __future__ import annotations

from pathlib import Path

from pipeline.simulated_loop.served_config import write_served_config
from transform.config.config_file import load_config, parse_yaml

STORE = Path(__file__).parents[3] / "configs" / "app_store.yaml"


def test_the_served_days_read_the_log_and_keep_everything_else(tmp_path: Path) -> None:
    keys = parse_yaml(STORE.read_text(), "app_store.yaml")
    keys["features"].append({"name": "position", "side": "item", "kind": "numeric", "num_quantiles": 2})
    write_served_config(keys, tmp_path / "served.yaml")
    found, store = load_config(str(tmp_path / "served.yaml")), load_config(str(STORE))
    assert found.sources.are_served
    assert found.sources.impressions.path == "served/day-{SPAN}/*/impressions-*.parquet"
    assert found.sources.installs is not None
    assert found.sources.installs.path == "served/day-{SPAN}/*/events-*.parquet"
    assert not found.sources.installs.leave_out_unknown_labels
    assert found.sources.tables == store.sources.tables
    columns = {feature.name: feature.source_column for feature in found.spec.features}
    assert columns.pop("position") == "log.position"
    assert columns == {feature.name: feature.source_column for feature in store.spec.features}
    assert (found.model, found.training, found.evaluation) == (store.model, store.training, store.evaluation)
