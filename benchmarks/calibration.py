"""Measures the calibration of scores on the next day: `python -m benchmarks.calibration --seeds 5`.

With each seed, simulates a store for four days. Version 1 is trained on day 1; versions 2 and 3 are warm-started from
the one before and trained on the window up to their day. Each version scores all rows of the day after its own, whose
weekday it was not trained on: once as logged; for each feature, once with that feature missing in all rows; and for
each feature that is not numeric, once with an unknown value. Prints the mean score divided by the share of installs
and, as logged, by the mean of the true probabilities, which has no chance of the day in it; the log loss and the AUC.

`--accumulator` replaces FTRL's initial accumulator of the shipped config: two values are compared on the same rows.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_transform as tft
from rich.table import Table

from benchmarks.transformed import Transformed, ingest_span, serving_model_dir, transform_span
from pipeline.cli.display import console_for
from pipeline.simulator import simulate
from pipeline.simulator.installs import share_within
from trainer.training.data import expand_patterns, read_records
from trainer.training.evaluation import logits_function, measure
from trainer.training.position import Metrics
from trainer.training.setup import TrainingSetup
from trainer.transform_output.graph import apply_transform
from trainer.warm_start.warm_start import save_warm_start
from transform.config.config import Config
from transform.config.config_file import load_config
from transform.example_keys import LABEL, WEIGHT
from transform.feature import Feature
from transform.feature_spec import FeatureSpec
from transform.files.records import as_request

CONFIG = Path(__file__).parent.parent / "configs" / "app_store.yaml"
NUM_DAYS = 4
NUM_IMPRESSIONS = 100_000
NUM_USERS = 5_000
NUM_APPS = 1_000

#: The rows without a change.
AS_LOGGED = "as logged"

_UNKNOWN = b"\x00never seen"
_BATCH_SIZE = 4096
#: Number of batches whose rows are changed: 1,450 installs, a number with a standard deviation of 2.6 %.
_CHANGED_BATCHES = 5


@dataclasses.dataclass(frozen=True)
class NextDay:
    """The rows of the day after a version's own, transformed with that version's tf.Transform graph.

    Attributes:
      labels: float32 `[rows]`.
      probability: The mean of the true probabilities of label 1, an install within the time of attribution, over all
        impressions of the day. The rows are those of its span, whose last hour is from the day before: it moves the
        mean by some 0.2 %.
      batches: By change (`AS_LOGGED`: none), batches of transformed features. A changed feature is changed in all rows
        of its batches, which are the first ones.
    """

    labels: np.ndarray
    probability: float
    batches: dict[str, list[dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Metrics of a version's scores on some rows.

    Attributes:
      calibration: The mean score divided by the mean label.
      true_calibration: The mean score divided by the mean true probability; None of rows that were changed.
      metrics: AUC and log loss.
    """

    calibration: float
    true_calibration: float | None
    metrics: Metrics


def changes(spec: FeatureSpec) -> Iterator[tuple[str, Feature, list[bytes]]]:
    """Yields the changes: a name, the feature, and the values that replace its logged ones."""
    for feature in spec.features:
        yield f"{feature.name} missing", feature, []
        if feature.has_ids:
            yield f"{feature.name} unknown", feature, [_UNKNOWN]


def read_next_day(day: Transformed, raw_examples: Path, truth: Path) -> NextDay:
    """Transforms the rows of the day after a version's own, once for each of `changes`.

    Args:
      day: The version's window.
      raw_examples: The folder of the next day's raw examples.
      truth: The simulator's file of the next day's true probabilities.

    Returns:
      The transformed rows.
    """
    output = tft.TFTransformOutput(str(day.graph))
    transform_fn = tf.saved_model.load(output.transform_savedmodel_dir).transform_fn
    patterns = [str(raw_examples / f"Split-{split}" / "*") for split in ("train", "eval")]
    records = read_records(expand_patterns(patterns)).batch(_BATCH_SIZE)
    raw_spec = output.raw_feature_spec()
    parsed = [tf.io.parse_example(batch, {LABEL: raw_spec[LABEL]}) for batch in records]
    labels = np.concatenate([np.reshape(batch[LABEL], -1) for batch in parsed]).astype(np.float32)
    request_spec = {name: how for name, how in raw_spec.items() if name not in (LABEL, WEIGHT)}
    raw = [tf.io.parse_example([as_request(r) for r in batch.numpy()], request_spec) for batch in records]
    batches = {AS_LOGGED: [apply_transform(transform_fn, batch) for batch in raw]}
    for name, feature, values in changes(day.config.spec):
        changed = [
            batch | {feature.name: _in_all_rows(batch[feature.name], values)} for batch in raw[:_CHANGED_BATCHES]
        ]
        batches[name] = [apply_transform(transform_fn, batch) for batch in changed]
    probability = pq.read_table(truth, columns=["probability"])["probability"].to_numpy()
    installs = day.config.sources.installs
    attributed = 1.0 if installs is None else share_within(installs.attribution_seconds)
    return NextDay(labels, attributed * float(probability.mean(dtype=np.float64)), batches)


def _in_all_rows(logged: tf.SparseTensor, values: Sequence[bytes]) -> tf.SparseTensor:
    num_rows = int(logged.dense_shape[0])
    indices = [[row, i] for row in range(num_rows) for i in range(len(values))]
    tokens = tf.constant([*values] * num_rows, logged.dtype)
    return tf.SparseTensor(np.array(indices, np.int64).reshape(-1, 2), tokens, [num_rows, len(values)])


def score(prepared: TrainingSetup, rows: NextDay) -> dict[str, Measured]:
    """Measures a trained model's scores on the rows, by change."""
    model, counts = prepared.model, prepared.counts
    logits_of, names = logits_function(model), model.feature_names
    measured = {}
    for change, transformed in rows.batches.items():
        batches = transformed if counts is None else [counts.features(batch) for batch in transformed]
        logits = np.concatenate([logits_of({name: batch[name] for name in names}).numpy() for batch in batches])
        scores, labels = 1 / (1 + np.exp(-logits.astype(np.float64))), rows.labels[: logits.size]
        true = float(scores.mean() / rows.probability) if change == AS_LOGGED else None
        measured[change] = Measured(float(scores.mean() / labels.mean()), true, measure(logits, labels))
    return measured


def train_versions(
    days: Sequence[Transformed], next_days: Sequence[NextDay], seed: int, folder: Path
) -> list[dict[str, Measured]]:
    """Trains one version per day, each warm-started from the one before, and scores each on the day after its own.

    Args:
      days: The versions' windows.
      next_days: For each version, the rows of the day after.
      seed: The seed of all trainings.
      folder: Where the states for warm starts are saved.

    Returns:
      For each version, the return value of `score`.
    """
    measured, base_model = [], None
    for number, (day, rows) in enumerate(zip(days, next_days, strict=True), start=1):
        training = dataclasses.replace(day.config.training, seed=seed)
        prepared = day.prepare(dataclasses.replace(day.config, training=training), base_model)
        prepared.train()
        measured.append(score(prepared, rows))
        base_model = str(serving_model_dir(folder / str(number)))
        trained = (prepared.model, prepared.optimizers, day.config.spec, prepared.config.training)
        save_warm_start(*trained, prepared.transform_state, base_model)
    return measured


def prepare_days(config: Config, data: Path, workspace: Path, num_days: int) -> tuple[list[Transformed], list[NextDay]]:
    """Ingests all days, and transforms all of them except the last."""
    days = [transform_span(config, data, workspace, span) for span in range(1, num_days)]
    raw = [ingest_span(config, data, workspace, span) for span in range(2, num_days + 1)]
    truths = [data / "truth" / f"day-{span}.parquet" for span in range(2, num_days + 1)]
    return days, [read_next_day(*each) for each in zip(days, raw, truths, strict=True)]


def to_table(seeds: Sequence[list[dict[str, Measured]]]) -> Table:
    """Returns a table with one row per version and change: calibration, log loss and AUC over the seeds."""
    table = Table(title=f"on the day after a version's own, {len(seeds)} seeds")
    shares = ("by labels, mean", "lowest to highest", "by true probability, mean", "lowest to highest")
    for column in ("version", "rows", *shares, "log loss, mean", "AUC, mean"):
        table.add_column(column, justify="left" if column == "rows" else "right")
    for number, of_version in enumerate(zip(*seeds, strict=True), start=1):
        for change in of_version[0]:
            found = [of_seed[change] for of_seed in of_version]
            true = [m.true_calibration for m in found if m.true_calibration is not None]
            losses = [m.metrics.logloss or math.nan for m in found]
            aucs = [m.metrics.auc or math.nan for m in found]
            table.add_row(
                str(number),
                change,
                *_mean_and_range([m.calibration for m in found]),
                *_mean_and_range(true),
                f"{np.mean(losses):.5f}",
                f"{np.mean(aucs):.4f}",
            )
    return table


def _mean_and_range(values: Sequence[float]) -> tuple[str, str]:
    return (f"{np.mean(values):.3f}", f"{min(values):.3f} to {max(values):.3f}") if values else ("", "")


def main() -> None:
    """Simulates the stores, trains the versions with each seed and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--impressions", type=int, default=NUM_IMPRESSIONS, help="a day")
    parser.add_argument("--accumulator", type=float, help="FTRL's initial accumulator; the shipped config's by default")
    arguments = parser.parse_args()
    config = load_config(CONFIG)
    if arguments.accumulator is not None:
        ftrl = dataclasses.replace(config.training.wide_optimizer, initial_accumulator=arguments.accumulator)
        config = dataclasses.replace(config, training=dataclasses.replace(config.training, wide_optimizer=ftrl))
    seeds = []
    for seed in range(1, arguments.seeds + 1):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            simulate(
                folder / "data",
                num_days=NUM_DAYS,
                impressions_per_day=arguments.impressions,
                num_users=NUM_USERS,
                num_apps=NUM_APPS,
                seed=seed,
            )
            days, next_days = prepare_days(config, folder / "data", folder / "workspace", NUM_DAYS)
            seeds.append(train_versions(days, next_days, seed, folder / "models"))
    console_for(sys.stdout).print(to_table(seeds))


if __name__ == "__main__":
    main()
