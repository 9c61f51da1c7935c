"""Effects of count encodings on evaluation metrics: `python -m benchmarks.counts`.

Trains on three logs, generated in memory:

* No signal: labels are drawn per pair of user and item. The three impressions of a pair share the label, as one install
  labels all impressions before it; each impression is assigned to evaluation independently. As in a run, a training
  impression of the evaluated span is left out if its pair is evaluated. Whatever a model counts, and with or without an
  earlier span in the window, its AUC must be 0.5.
* Few rows: 1,000 items with 20 training rows each and different rates. An item's counts carry the same information as
  its id, so counts can only harm: their share of positives comes from rows that the id's weights were trained on.
* A longer window: a model trained with the counts of one span is evaluated with the counts of more spans.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from pipeline.cli.display import console_for
from trainer.counts import CountTables, Rows, count_rows
from trainer.optimizers import JointOptimizer
from trainer.training.data import LabelCounts
from trainer.training.evaluation import logits_function, measure
from trainer.training.loop import TrainingResult, steps_per_epoch, train
from trainer.training.position import Metrics
from trainer.training_size import sized, sized_value
from trainer.wide_deep.model import WideDeep
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.config.settings import Parts
from transform.example_keys import FOLD, NO_FOLD, NUM_FOLDS, SPAN
from transform.feature_spec import transformed_name

EVAL_BATCH_SIZE = 4096


@dataclasses.dataclass(frozen=True)
class Log:
    """Rows of a log; each array is int64 `[rows]`.

    Attributes:
      values: By feature, ids.
      labels: 0 or 1.
      spans: The spans.
      folds: The folds.
    """

    values: Mapping[str, np.ndarray]
    labels: np.ndarray
    spans: np.ndarray
    folds: np.ndarray

    def where(self, rows: np.ndarray) -> Log:
        """Returns some of the rows, by a mask or by their indices."""
        values = {name: ids[rows] for name, ids in self.values.items()}
        return Log(values, self.labels[rows], self.spans[rows], self.folds[rows])

    def keys(self, features: tuple[str, ...]) -> np.ndarray:
        """Returns a number for each row that identifies the combination of some features' ids."""
        keys = np.zeros_like(self.labels)
        for name in features:
            keys = keys * 1_000_000 + self.values[name]
        return keys


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model, the count tables it was trained with, and the training's result."""

    config: Config
    model: WideDeep
    counts: CountTables
    result: TrainingResult

    def evaluate(self, log: Log, counts: CountTables | None = None) -> tuple[Metrics, float]:
        """Returns the metrics on a log's rows, and mean score / mean label; `counts` replaces the training's counts."""
        logits_of = logits_function(self.model)
        batches = _batches(self.config, self.model, log, counts or self.counts, np.arange(log.labels.size))
        logits = np.concatenate([logits_of(features).numpy() for features, _, _ in batches])
        scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
        return measure(logits, log.labels.astype(np.float32)), float(scores.mean() / log.labels.mean())


def config_of(
    features: tuple[str, ...], counts: tuple[tuple[str, ...], ...], parts: Parts = "wide_and_deep", num_epochs: int = 2
) -> Config:
    """Returns a config of categorical features and counts; a feature used by counts only is in neither part."""
    transform_state = [{"name": f, "side": "item", "kind": "categorical", "vocabulary": {}} for f in features]
    read = {f for count in counts for f in count} - set(features)
    only_counted = [
        {"name": f, "side": "context", "kind": "categorical", "vocabulary": {}, "parts": []} for f in sorted(read)
    ]
    return parse_config(
        {
            "name": "counts",
            "sources": {"impressions": {"path": "log", "format": "csv", "label": "label", "request_id": "request"}},
            "features": [*transform_state, *only_counted],
            "count_encodings": [{"features": list(count)} for count in counts],
            "model": {"parts": parts, "embedding_dim": 32, "hidden_units": [256, 128], "dropout": 0.5},
            "training": {
                "batch_size": 128,
                "num_epochs": num_epochs,
                "patience": 0,
                "wide_optimizer": {"learning_rate": 0.1, "initial_accumulator": 0.001, "l1": 0.001},
                "deep_optimizer": {"name": "adagrad", "learning_rate": 0.02, "initial_accumulator": 0.000001},
            },
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        },
        "benchmarks.counts",
    )


def read_label_counts(config: Config, train_log: Log, eval_log: Log) -> CountTables:
    """Counts the rows of both splits of a window, as the trainer does."""
    splits = ((train_log, train_log.folds), (eval_log, np.full_like(eval_log.folds, NO_FOLD)))
    return count_rows(
        config.spec,
        [
            Rows({c.name: log.keys(c.features) for c in config.spec.count_encodings}, log.labels, log.spans, folds)
            for log, folds in splits
        ],
    )


def trained(config: Config, train_log: Log, eval_log: Log, seed: int) -> Trained:
    """Trains a model from a cold start."""
    training = dataclasses.replace(config.training, seed=seed)
    sizes = {name: int(ids.max()) + 1 for name, ids in train_log.values.items()}
    model = WideDeep(config.spec, config.model, sizes, seed)
    labels = LabelCounts(*np.bincount(train_log.labels, minlength=2).tolist())
    training = sized(training, labels.total)
    batch_size = sized_value(training.batch_size, "batch_size")
    num_epochs = sized_value(training.num_epochs, "num_epochs")
    optimizers = JointOptimizer(model, training, num_epochs * steps_per_epoch(labels, training))
    counts = read_label_counts(config, train_log, eval_log)

    def epoch_batches(epoch: int, skip_batches: int) -> tf.data.Dataset:
        order = np.random.default_rng([seed, epoch]).permutation(train_log.labels.size)
        batch_seed = tf.constant([seed, epoch], tf.int32)
        return _batches(config, model, train_log, counts, order, batch_size, batch_seed).skip(skip_batches)

    eval_data = _batches(config, model, eval_log, counts, np.arange(eval_log.labels.size))
    return Trained(config, model, counts, train(model, optimizers, epoch_batches, eval_data, training, labels))


def _batches(
    config: Config,
    model: WideDeep,
    log: Log,
    counts: CountTables,
    order: np.ndarray,
    batch_size: int = EVAL_BATCH_SIZE,
    seed: tf.Tensor | None = None,
) -> tf.data.Dataset:
    rows = log.where(order)
    columns = {transformed_name(name): ids for name, ids in rows.values.items()}
    columns |= {transformed_name(count.key_name): rows.keys(count.features) for count in config.spec.count_encodings}
    columns |= {SPAN: rows.spans, FOLD: rows.folds}
    labels = rows.labels.astype(np.float32)

    def parse(number: tf.Tensor, batch: tuple[Mapping[str, tf.Tensor], tf.Tensor, tf.Tensor]) -> object:
        features, batch_labels, weights = batch
        drawn = None if seed is None else tf.random.experimental.stateless_fold_in(seed, number)
        found = counts.features(features, drawn)
        return {name: found[name] for name in model.feature_names}, batch_labels, weights

    slices = tf.data.Dataset.from_tensor_slices((columns, labels, np.ones_like(labels)))
    return slices.batch(batch_size).enumerate().map(parse)


def no_signal(
    seed: int, num_pairs: int, num_spans: int = 1, impressions: int = 3, *, withhold: bool = True
) -> tuple[Log, Log]:
    """Draws a training and an evaluation log in which only impressions of the same pair carry information on a label.

    Args:
      seed: The seed of all draws.
      num_pairs: Number of pairs, over all spans.
      num_spans: Number of spans; a fifth of the last span's impressions are for evaluation.
      impressions: Number of impressions per pair.
      withhold: Whether to leave out the training impressions whose pair is evaluated.
    """
    rng = np.random.default_rng(seed)
    users, items = rng.integers(num_pairs // 10, size=num_pairs), rng.integers(300, size=num_pairs)
    spans, folds = rng.integers(num_spans, size=num_pairs), rng.integers(NUM_FOLDS, size=num_pairs)
    labels = (rng.random(num_pairs) < 0.2).astype(np.int64)
    of = np.repeat(np.arange(num_pairs), impressions)
    log = Log({"user": users[of], "item": items[of]}, labels[of], spans[of], folds[of])
    is_eval = (rng.random(of.size) < 0.2) & (log.spans == num_spans - 1)
    is_evaluated = np.bincount(of, is_eval) > 0
    return log.where(~is_evaluated[of] if withhold else ~is_eval), log.where(is_eval)


def few_rows(seed: int, num_items: int = 1000, rows: int = 20, eval_rows: int = 10) -> tuple[Log, Log]:
    """Draws logs for training and evaluation: items with so many rows each, and log-normal odds with median 0.3."""
    rng = np.random.default_rng(seed)
    rates = 1 / (1 + np.exp(1.2 - rng.normal(size=num_items)))

    def log(number: int, folds: np.ndarray) -> Log:
        items = np.repeat(np.arange(num_items), number)
        labels = (rng.random(items.size) < rates[items]).astype(np.int64)
        return Log({"item": items}, labels, np.zeros_like(items), folds)

    train_log = log(rows, rng.integers(NUM_FOLDS, size=num_items * rows))
    return train_log, log(eval_rows, np.full(num_items * eval_rows, NO_FOLD))


def longer_windows(seed: int, num_spans: int, num_items: int = 3000, rows: int = 60_000) -> Log:
    """Draws a log of several spans; each item has its own rate and popularity, the same in all spans."""
    rng = np.random.default_rng(seed)
    rates = 1 / (1 + np.exp(2.2 - rng.normal(size=num_items)))
    popularity = rng.lognormal(sigma=1.5, size=num_items)
    items = rng.choice(num_items, size=rows * num_spans, p=popularity / popularity.sum())
    labels = (rng.random(items.size) < rates[items]).astype(np.int64)
    spans = np.repeat(np.arange(num_spans), rows)
    return Log({"item": items}, labels, spans, rng.integers(NUM_FOLDS, size=items.size))


def show_no_signal(console: Console, seeds: range, num_pairs: int) -> None:
    """Prints the AUC with counts on a log without signal; the correct value is 0.5."""
    table = Table(title="no signal, 3 impressions a pair: evaluation AUC")
    for column in ("counts", "model", "spans", "mean", "lowest to highest"):
        table.add_column(column)
    every = (("user", "item"), ("user",), ("item",))
    choices: list[tuple[tuple[tuple[str, ...], ...], Parts]] = [
        ((("user", "item"),), "wide"),
        ((("user",),), "wide"),
        (every, "wide"),
        (every, "deep"),
        (every, "wide_and_deep"),
    ]
    for counts, parts in choices:
        for num_spans in (1, 2):
            aucs = []
            for seed in seeds:
                train_log, eval_log = no_signal(seed, num_pairs * num_spans, num_spans)
                config = config_of(("user", "item"), counts, parts)
                aucs.append(trained(config, train_log, eval_log, seed).result.validation.auc or 0.0)
            names = ", ".join(" × ".join(count) for count in counts)
            mean = f"{statistics.mean(aucs):.4f}"
            table.add_row(names, parts, str(num_spans), mean, f"{min(aucs):.4f} to {max(aucs):.4f}")
    console.print(table)


def show_few_rows(console: Console, seeds: range, num_epochs: int) -> None:
    """Prints the metrics after each epoch, with and without counts."""
    table = Table(title="1,000 items × 20 rows: evaluation AUC / log loss, mean over the seeds")
    table.add_column("counts")
    for epoch in range(1, num_epochs + 1):
        table.add_column(f"epoch {epoch}")
    for name, counts in (("none", ()), ("item", (("item",),))):
        runs = [
            [epoch.validation for epoch in trained(config_of(("item",), counts, num_epochs=num_epochs),
                                                   *few_rows(seed), seed).result.epochs]
            for seed in seeds
        ]  # fmt: skip
        cells = []
        for epochs in zip(*runs, strict=True):
            auc, loss = (statistics.mean(getattr(m, kind) for m in epochs) for kind in ("auc", "logloss"))
            cells.append(f"{auc:.4f} / {loss:.4f}")
        table.add_row(name, *cells)
    console.print(table)


def show_longer_windows(console: Console, seed: int, num_spans: int = 8) -> None:
    """Prints a model's AUC, log loss and calibration as its counts cover more and more spans."""
    log = longer_windows(seed, num_spans)
    config = config_of((), (("item",),), "wide")
    last = log.where(log.spans == num_spans - 1)
    first = log.where(log.spans <= 1)
    nothing = last.where(np.zeros(last.labels.size, bool))
    model = trained(config, first, last.where(np.arange(100)), seed)
    table = Table(title="weights of a window of two spans, counts of more: on the span after it")
    for column in ("spans counted", "AUC", "log loss", "calibration"):
        table.add_column(column, justify="right")
    for counted in (1, 2, 4, 7):
        window = log.where((log.spans >= num_spans - 1 - counted) & (log.spans < num_spans - 1))
        metrics, calibration = model.evaluate(last, read_label_counts(config, window, nothing))
        table.add_row(str(counted), f"{metrics.auc:.4f}", f"{metrics.logloss:.4f}", f"{calibration:.3f}")
    console.print(table)


def main() -> None:
    """Runs and prints the benchmarks, or the one named by `--only`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=100_000, help="of a span of the log without a signal")
    parser.add_argument("--epochs", type=int, default=6, help="with few rows")
    parser.add_argument("--only", choices=("no_signal", "few_rows", "longer_windows"))
    arguments = parser.parse_args()
    console, seeds = console_for(sys.stdout), range(1, arguments.seeds + 1)
    if arguments.only in (None, "no_signal"):
        show_no_signal(console, seeds, arguments.pairs)
    if arguments.only in (None, "few_rows"):
        show_few_rows(console, seeds, arguments.epochs)
    if arguments.only in (None, "longer_windows"):
        show_longer_windows(console, 1)


if __name__ == "__main__":
    main()
