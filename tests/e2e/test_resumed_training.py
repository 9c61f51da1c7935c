"""A Trainer that is killed at any step resumes from its last checkpoint, and ends as an undisturbed one does."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.transformed import Transformed
from tests.e2e import store
from trainer.training.loop import TrainingResult
from transform.config.config_file import load_config

pytestmark = pytest.mark.slow

NUM_EPOCHS = 24


def long_training(path: Path) -> Path:
    """A config whose training has 600 steps, and writes checkpoints as often as possible."""
    config = yaml.safe_load(store.CONFIG.read_text())
    config["training"] |= {"num_epochs": NUM_EPOCHS, "checkpoint_seconds": 0}
    config["model"]["dropout"] = 0.2
    path.write_text(yaml.safe_dump(config))
    return path


def undisturbed(config: Path, transform: Path) -> TrainingResult:
    """The result of the same training in this process, without checkpoints."""
    (graph,), (examples,) = (list((transform / name).iterdir()) for name in ("transform_graph", "transformed_examples"))
    loaded = load_config(str(config))
    return Transformed(loaded, (examples,), graph).prepare(loaded).train()


def last_checkpoint(workspace: Path) -> int:
    """The step of the last checkpoint; 0 if there is none."""
    reported = "".join(path.read_text() for path in workspace.glob("checkpoints/*/checkpoint"))
    steps = re.findall(r'^model_checkpoint_path: "ckpt-(\d+)"', reported, re.MULTILINE)
    return max(map(int, steps), default=0)


def test_a_trainer_killed_three_times_ends_as_one_that_was_not(
    first_day: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    workspace = store.copy_of(first_day[0], tmp_path / "workspace")
    config = long_training(tmp_path / "config.yaml")
    expected = undisturbed(config, first_day[0] / "artifacts" / "transform")
    assert expected.resumed_at == ()

    arguments = store.run_arguments(data, workspace, 1, config)
    rng, quarter = random.Random(7), expected.num_steps // 4
    killed_at = []
    for i in range(3):
        step = i * quarter + rng.randrange(10, quarter)
        store.kill_when(arguments, tmp_path / f"log-{i}", lambda at=step: last_checkpoint(workspace) >= at)  # type: ignore[misc]
        killed_at.append(last_checkpoint(workspace))
    output = store.wdr_ok(*arguments)
    resumed: dict[str, Any] = store.last_report(workspace)["training"]

    assert {"example_gen", "transform"} <= store.cached(output)
    assert resumed["resumed_at"] == killed_at
    assert 10 <= killed_at[0] < quarter + 100
    assert (resumed["num_steps"], resumed["num_epochs"]) == (expected.num_steps, NUM_EPOCHS)
    assert resumed["validation"]["auc"] == pytest.approx(expected.validation.auc, abs=1e-4)
    assert resumed["validation"]["logloss"] == pytest.approx(expected.validation.logloss, abs=1e-4)
    assert list((workspace / "checkpoints").iterdir()) == []
    assert f"resumed after a kill, at step {', '.join(map(str, killed_at))}" in " ".join(output.split())
    logs = sorted((workspace / "logs").iterdir())[-3:]
    reported = [re.findall(r"the training resumes from step (\d+)", log.read_text(errors="replace")) for log in logs]
    assert reported == [[str(step)] for step in killed_at]
