"""Short form of the benchmark of the steps that transform an example."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from benchmarks.transform_steps import prepare
from pipeline.simulator import simulate
from transform.config.config_file import load_config


@pytest.mark.slow
def test_each_step_has_a_cost_and_all_examples_are_written(tmp_path: Path) -> None:
    simulate(tmp_path / "data", num_days=1, impressions_per_day=2_000, num_users=100, num_apps=100)
    steps = prepare(load_config("configs/app_store.yaml"), tmp_path)
    costs = steps.costs()
    names = ["read and decompress", "parse", "parse, and run the graph", "serialize", "write and compress"]
    assert list(costs) == names
    assert min(costs.values()) > 0
    assert steps.num_rows == sum(1 for _ in tf.data.TFRecordDataset(str(steps.output), "GZIP")) > 1_000
