"""Bad models as operations on the scores of a good one, judged by the gate on quality; and honest retrainings.

    python -m tests.soak.bad_scores [--retrainings 20]

Simulates a store of four days of 60,000 impressions and runs the pipeline on three of them, with the thresholds and
slices of `configs/app_store.yaml`, a smaller model, and half of the requests held out, some 30,000 rows. The second
day's candidate model is the good one. Each bad model is judged by the run's own Evaluator and gate, without another
run. The scores of the model that serves are then those of the first honest retraining, as a lead of the good model over
version 1 would hide a part of a fault. For a leak, a run has days with a page that is logged for label 1 alone; the
gate on data is told to let them through. Prints for each model what the gate did, by how much its metrics differ from
the good model's, and the gate's sentence. Exits with code 1 if an outcome is not the table's, or more than one honest
model is refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import yaml
from rich.console import Console
from tfx.types import artifact_utils
from tfx.utils import path_utils

from benchmarks.transformed import transformed
from components.evaluation.metrics.paired import compute_metrics
from components.gate_records import Finding
from pipeline.simulator import simulate
from tests.e2e import store
from tests.e2e.prepared_store import read_rows, write_rows
from tests.soak.bad_scores.faults import FAULTS, Outcome, Rows, sigmoid
from tests.soak.bad_scores.judged_run import JudgedRun
from transform.config.config import Config
from transform.config.config_file import load_config
from transform.example_keys import LABEL

SHIPPED = store.ROOT / "configs" / "app_store.yaml"

#: The days; the second one's model is the good one. Half of a day's impressions are evaluation rows.
NUM_DAYS, GOOD_DAY, NUM_IMPRESSIONS = 4, 2, 60_000

#: The shares of the examples with label 1 that get a page of their own, as if it were of what happened later.
LEAKED, LEAKED_FIRST = 0.4, 0.3


class Judged(NamedTuple):
    """What became of a model.

    Attributes:
      name: The model.
      outcome: What the gate did.
      sentence: The gate's sentence that names the cause, or else its first one; empty if the model passed.
      figures: By how much its metrics differ from the good model's.
      is_as_expected: Whether the table has this outcome, and the cause was named.
      is_honest: Whether it is a good model.
    """

    name: str
    outcome: Outcome
    sentence: str
    figures: str
    is_as_expected: bool = True
    is_honest: bool = False


def judge(
    name: str, found: Sequence[Finding], known: Sequence[Finding], expected: Outcome, says: str, figures: str = ""
) -> Judged:
    """Returns what the gate did, by those of its findings that the good model does not have."""
    of_good = {(finding.severity, finding.rule, finding.subject) for finding in known}
    new = [f for f in found if f.severity in ("refuse", "warn") and (f.severity, f.rule, f.subject) not in of_good]
    outcome: Outcome = "passed"
    if new:
        outcome = "stopped" if any(f.severity == "refuse" for f in new) else "warned"
    named = [f.sentence for f in new if says in f.sentence]
    sentence = (named or [f.sentence for f in new] or [""])[0]
    return Judged(name, outcome, sentence, figures, outcome == expected and bool(named or not new))


def honest(name: str, found: Sequence[Finding]) -> Judged:
    """Returns whether the gate refuses a good model."""
    refused = [finding.sentence for finding in found if finding.severity == "refuse"]
    return Judged(name, "stopped" if refused else "passed", "; ".join(refused), "", is_honest=True)


def figures_of(rows: Rows, scores: np.ndarray) -> str:
    """Returns a model's AUC and log loss minus the good model's, and its calibration, as text."""
    label, weight = rows.label.astype(np.float64), np.ones(len(rows.label))
    if not np.isfinite(scores).all():
        return ""
    good, bad = (compute_metrics(label, weight, of_model) for of_model in (sigmoid(rows.logit), scores))
    changes = (f"{name} {bad[name] - good[name]:+.4f}" for name in ("auc", "logloss"))
    return f"{', '.join(changes)}, calibration {bad['calibration']:.3f}"


def evaluation_rows(good: JudgedRun) -> Rows:
    """Reads the good model's evaluation rows."""
    scores = good.kept(good.model).astype(np.float64)
    kinds = {"app_id": tf.string, "category": tf.string, "country": tf.string, "price": tf.float32, LABEL: tf.int64}
    found = good.examples(kinds)
    label, *others = (found[name] for name in (LABEL, "app_id", "category", "country", "price"))
    return Rows(np.log(scores) - np.log1p(-scores), label, *others)


def store_config(folder: Path, *more_features: dict[str, Any]) -> Config:
    """Returns the shipped config with a smaller model, half of the requests held out, and more features."""
    sections = yaml.safe_load(SHIPPED.read_text())
    sections["ingestion"]["eval_fraction"] = 0.5
    sections["model"] |= {"embedding_dim": 16, "hidden_units": [64, 32]}
    sections["training"]["batch_size"] = 512
    sections["features"] += more_features
    sections["infra_validation"] = {
        "num_requests": 20,
        "num_measurements": 10,
        "max_latency_ms": 10_000,
        "timeout_seconds": 900,
    }
    path = folder / f"store-{len(more_features)}.yaml"
    path.write_text(yaml.safe_dump(sections))
    return load_config(path)


def leak(data: Path, day: int, share: float) -> None:
    """Gives a share of a day's impressions with an install a page of their own."""
    path, draw = data / "impressions" / f"day-{day}" / "part-00000.csv", random.Random(day)
    installs = {(row["user_id"], row["app_id"]) for row in read_rows(data / "installs" / f"day-{day}" / path.name)}
    rows = read_rows(path)
    for row in rows:
        if (row["user_id"], row["app_id"]) in installs and draw.random() < share:
            row["page"] = "detail"
    write_rows(path, rows)


def judged_faults(good: JudgedRun, rows: Rows, serving: np.ndarray) -> Iterator[Judged]:
    """Judges each of `FAULTS`, beside the scores of a model that serves."""
    known = good.judged(sigmoid(rows.logit), serving)
    for fault in FAULTS:
        scores = fault.scores(rows)
        found = good.judged(scores, serving)
        yield judge(fault.name, found, known, fault.outcome, fault.says, figures_of(rows, scores))


def judged_trainings(config: Config, data: Path, workspace: Path, folder: Path) -> Iterator[Judged]:
    """Judges models of bad trainings: leaks, and one that relies on the position."""
    leaked = shutil.copytree(data, folder / "leaked")
    leak(leaked, 1, LEAKED_FIRST)
    leak(leaked, NUM_DAYS, LEAKED)
    found = JudgedRun.of(config, leaked, store.copy_of(workspace, folder / "leak"), NUM_DAYS).findings
    yield judge("a leak", found, (), "stopped", "`page` carries the rise")
    found = JudgedRun.of(config, leaked, folder / "first-leak", 1).findings
    yield judge("a leak on the first day", found, (), "warned", "`page` carries this lead")
    with_position = store_config(folder, {"name": "position", "side": "item", "kind": "categorical", "vocabulary": {}})
    found = JudgedRun.of(with_position, data, store.copy_of(workspace, folder / "position"), NUM_DAYS).findings
    yield judge("leans on the position", found, (), "passed", "")


def retrain(good: JudgedRun, config: Config, workspace: Path, folder: Path, seed: int) -> str:
    """Trains a model like the good one with another seed; returns its folder."""
    model, of_seed = folder / f"seed-{seed}", dataclasses.replace(config.training, seed=seed)
    start = path_utils.serving_model_path(artifact_utils.get_single_uri(good.gate.inputs["serving_model"]))
    transformed(config, workspace).train(dataclasses.replace(config, training=of_seed), model, start)
    return str(model)


def judged(folder: Path, num_retrainings: int) -> Iterator[Judged]:
    """Prepares the store, and judges all models."""
    data, workspace, config = folder / "data", folder / "workspace", store_config(folder)
    simulate(data, num_days=NUM_DAYS, impressions_per_day=NUM_IMPRESSIONS, num_users=5_000, num_apps=1_000)
    for day in range(1, NUM_DAYS):
        of_day = JudgedRun.of(config, data, workspace, day)
        yield honest(f"day {day}", of_day.findings)
        if day == GOOD_DAY:
            models = [retrain(of_day, config, workspace, folder, 2 + number) for number in range(num_retrainings)]
            for model in models:
                yield honest(f"retraining {Path(model).name}", of_day.judged_model(model))
            serving = of_day.scores_of(path_utils.serving_model_path(models[0]))
            yield from judged_faults(of_day, evaluation_rows(of_day), serving)
    yield from judged_trainings(config, data, workspace, folder)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retrainings", type=int, default=20, help="at least 1")
    arguments = parser.parse_args()
    if arguments.retrainings < 1:
        parser.error(f"--retrainings must be at least 1. Received: {arguments.retrainings}")
    console = Console(file=os.fdopen(os.dup(1), "w"), soft_wrap=True)
    wrong, refused = list[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        for one in judged(Path(folder), arguments.retrainings):
            console.print(f"{one.name}: {one.outcome} ({one.figures}) {one.sentence}", markup=False)
            if one.is_honest:
                refused += one.outcome == "stopped"
            elif not one.is_as_expected:
                wrong.append(one.name)
    console.print(
        f"honest models refused: {refused}, at most 1 may be; not as the table says: {', '.join(wrong) or 'none'}"
    )
    sys.exit(int(refused > 1 or bool(wrong)))


if __name__ == "__main__":
    main()
