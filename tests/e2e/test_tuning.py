"""A run with a search: the pushed model has the best trial's values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf
import yaml

from tests.e2e import store
from tests.e2e.bad_store import ok_in_process

pytestmark = pytest.mark.slow

RATE = "training.deep_optimizer.learning_rate"
TUNING = {
    "max_trials": 2,
    "ranges": {
        RATE: {"min": 0.001, "max": 0.1, "scale": "log"},
        "model.hidden_units": {"choices": [[12, 6], [10, 5], [14, 7]]},
    },
}


def test_what_the_search_found_is_trained_and_told(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "tuned.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load(store.CONFIG.read_text()), "tuning": TUNING}))
    workspace = tmp_path / "workspace"
    arguments = store.run_arguments(data, workspace, 1, config)
    output = ok_in_process(*arguments)
    nodes = list(store.nodes(output))
    assert nodes[nodes.index("transform") : nodes.index("trainer") + 1] == ["transform", "tuner", "trainer"]

    report = store.last_report(workspace)
    (results,) = Path(report["places"]["trials of the search"]).iterdir()
    trials = json.loads(results.read_text())
    best = max(trials, key=lambda trial: trial["score"])
    tuned = report["training"]["tuned"]
    assert tuned == {RATE: best[RATE], "model.hidden_units": json.loads(best["model.hidden_units"])}
    assert len({trial[RATE] for trial in trials}) == 2
    # A trial equals the training that follows: same seed, same start.
    assert report["training"]["validation"]["auc"] == pytest.approx(best["score"], abs=1e-4)
    assert f"model.hidden_units {tuned['model.hidden_units']}" in output

    pushed = workspace / "serving" / store.NAME / "1" / "variables" / "variables"
    shapes = [shape for _, shape in tf.train.list_variables(str(pushed))]
    assert tuned["model.hidden_units"] in shapes  # the second hidden layer's weights
    assert not list((workspace / "checkpoints").iterdir())
    assert {"tuner", "trainer"} <= store.cached(ok_in_process(*arguments))
