"""`tfx pipeline create` and `tfx run create` run the same pipeline to a push; its search's best values are trained.

`wdr run` then takes every node but the push from the cache, and reports on the run. With another seed, it searches
itself. The tests change one workspace, in their order.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small store's config with a search."""
    file = tmp_path_factory.mktemp("tuned") / "tuned.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(store.CONFIG.read_text()), "tuning": TUNING}))
    return file


@pytest.fixture(scope="module")
def workspace(config: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which `tfx` has run the first day."""
    folder = tmp_path_factory.mktemp("tfx")
    binaries, workspace = Path(sys.executable).parent, folder / "workspace"
    environment = os.environ | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "LOCAL_HOME": str(folder / "local"),
        "WDR_CONFIG": str(config),
        "WDR_DATA": str(data),
        "WDR_WORKSPACE": str(workspace),
        "WDR_SPAN": "1",
    }
    runner = store.ROOT / "pipeline" / "local_runner.py"
    for arguments in (
        ["pipeline", "create", "--engine=local", f"--pipeline-path={runner}"],
        ["run", "create", "--engine=local", f"--pipeline-name={store.NAME}"],
    ):
        done = subprocess.run(
            [str(binaries / "tfx"), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return workspace


@pytest.fixture(scope="module")
def printed(workspace: Path, config: Path, data: Path) -> str:
    """What `wdr run` prints of the same day."""
    assert store.versions(workspace) == [1]
    return ok_in_process(*store.run_arguments(data, workspace, 1, config))


def test_tfx_runs_the_pipeline_to_a_push_and_wdr_run_finds_the_same_one(printed: str, workspace: Path) -> None:
    assert set(store.nodes(printed)) - store.cached(printed) == store.RESOLVERS | {"push"}
    assert store.versions(workspace) == [1]
    assert "yes, as version 1" in printed


def test_what_the_search_found_is_trained_and_told(printed: str, workspace: Path) -> None:
    check_search(printed, workspace, 1)


def test_wdr_run_searches_and_trains_itself(printed: str, workspace: Path, config: Path, data: Path) -> None:
    """Another seed changes the search and what follows it."""
    sections = yaml.safe_load(config.read_text())
    sections["training"]["seed"] = 7
    other = config.with_name("other_seed.yaml")
    other.write_text(yaml.safe_dump(sections))
    output = ok_in_process(*store.run_arguments(data, workspace, 1, other))
    anew = set(store.nodes(output)) - store.cached(output) - store.RESOLVERS
    assert anew == {"tuner", "trainer", "evaluator", "infra_validation", "quality_gate", "push"}
    assert "yes, as version 2" in output
    check_search(output, workspace, 2)


def check_search(printed: str, workspace: Path, version: int) -> None:
    """Checks that the last run, which printed this and pushed this version, has trained its best trial's values."""
    nodes = list(store.nodes(printed))
    assert nodes[nodes.index("transform") : nodes.index("trainer") + 1] == ["transform", "tuner", "trainer"]

    report = store.last_report(workspace)
    (results,) = Path(report["places"]["trials of the search"]).iterdir()
    trials = json.loads(results.read_text())
    best = min(trials, key=lambda trial: trial["score"])  # the log loss, by which early stopping goes too
    tuned = report["training"]["tuned"]
    assert tuned == {RATE: best[RATE], "model.hidden_units": json.loads(best["model.hidden_units"])}
    assert len({trial[RATE] for trial in trials}) == 2
    # A trial equals the training that follows: same seed, same start.
    assert report["training"]["validation"]["logloss"] == pytest.approx(best["score"], abs=1e-4)
    assert f"model.hidden_units {tuned['model.hidden_units']}" in printed

    pushed = workspace / "serving" / store.NAME / str(version) / "variables" / "variables"
    shapes = [shape for _, shape in tf.train.list_variables(str(pushed))]
    assert tuned["model.hidden_units"] in shapes  # the second hidden layer's weights
    assert not list((workspace / "checkpoints").iterdir())
