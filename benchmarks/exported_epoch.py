"""By what the exported epoch is chosen, and on which rows its bias is corrected: `python -m benchmarks.exported_epoch`.

Each set of `benchmarks.shapes`, with `wdr init`'s config for it, and two simulated stores are trained on with each
value of `training.monitor`. Each model's bias is left as training leaves it, and corrected on the training rows, on
those held out for early stopping, and on both. The table has AUC, log loss and calibration (mean score divided by the
positive share) of the evaluation rows, which neither choose the epoch nor correct the bias.

`--config YAML --data DIR` measures another set in place of these. Where it holds no rows out, such as with count
encodings, its evaluation rows choose the epoch: what is measured on them is optimistic.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from rich.table import Table

from benchmarks.calibration import CONFIG
from benchmarks.defaults import prepare
from benchmarks.shapes import SHAPES
from benchmarks.transformed import Transformed, transform_span
from pipeline.cli.display import console_for
from pipeline.simulator import simulate
from trainer.optimizers import set_bias
from trainer.training.bias import correct_bias
from trainer.training.evaluation import logits_function, measure
from trainer.training.loop import train
from trainer.training.setup import TrainingSetup
from transform.config.config import Config
from transform.config.config_file import load_config
from transform.config.settings import Training

Monitor = Literal["auc", "logloss"]

#: Impressions by the seed of a simulated store.
STORES = {1: 30_000, 2: 60_000}


@dataclasses.dataclass(frozen=True)
class Measured:
    """Metrics of the evaluation rows; `corrected_on` names the rows on which the bias was corrected."""

    monitor: Monitor
    epoch: int
    corrected_on: str
    auc: float
    logloss: float
    calibration: float


def data_sets(folder: Path, seed_offset: int) -> Iterator[tuple[str, Transformed]]:
    """Makes each data set, and runs the pipeline up to tf.Transform; yields its name and the trainer's input."""
    for shape in SHAPES:
        moved = dataclasses.replace(shape, seed=shape.seed + seed_offset)
        yield shape.name, prepare(moved, folder / shape.name).data
    for seed, num_rows in STORES.items():
        data = folder / f"store-{seed}"
        simulate(data, num_days=1, impressions_per_day=num_rows, num_users=5000, num_apps=1000, seed=seed + seed_offset)
        config = dataclasses.replace(load_config(CONFIG), training=Training())
        yield f"store of {num_rows:,} rows", transform_span(config, data, folder / f"workspace-{seed}", 1)


def measured(data: Transformed, monitor: Monitor, seed: int = 1) -> Iterator[Measured]:
    """Trains once, and corrects the bias on each kind of rows."""
    training = dataclasses.replace(data.config.training, monitor=monitor, seed=seed)
    setup = data.prepare(dataclasses.replace(data.config, training=training))
    sized = setup.config.training
    batches = (setup.train_data, setup.validation_data)
    result = train(setup.model, setup.optimizers, *batches, sized, setup.label_counts)
    bias = float(setup.model.bias.numpy())
    rows = {"training": setup.training_examples(with_held_out=False)}
    if setup.held_out is not None:
        rows |= {"held out": setup.validation_data, "both": setup.training_examples(with_held_out=True)}
    yield _evaluated(setup, monitor, result.exported_epoch, "none")
    for name, examples in rows.items():
        set_bias(setup.model, setup.optimizers, sized, bias)
        correct_bias(setup.model, setup.optimizers, sized, examples)
        yield _evaluated(setup, monitor, result.exported_epoch, name)


def _evaluated(setup: TrainingSetup, monitor: Monitor, epoch: int, corrected_on: str) -> Measured:
    logits_of = logits_function(setup.model)
    found = [(logits_of(features).numpy(), labels.numpy()) for features, labels, _ in setup.eval_data]
    logits, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    metrics = measure(logits, labels)
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    calibration = float(scores.mean() / labels.mean())
    return Measured(monitor, epoch, corrected_on, metrics.auc or np.nan, metrics.logloss or np.nan, calibration)


def main() -> None:
    """Measures all data sets, or the one of `--config`, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="measure this config alone")
    parser.add_argument("--data", type=Path, help="the folder of its data")
    parser.add_argument("--seed-offset", type=int, default=0, help="is added to the seed of each data set")
    parser.add_argument("--seed", type=int, default=1, help="of the trainings")
    arguments = parser.parse_args()
    table = Table(title="the evaluation rows")
    for column in ("data set", "monitor", "epoch", "bias corrected on", "AUC", "log loss", "calibration"):
        table.add_column(column, justify="left" if column in ("data set", "monitor", "bias corrected on") else "right")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = data_sets(folder, arguments.seed_offset)
        if arguments.config is not None:
            config: Config = load_config(arguments.config)
            sets = iter([(config.name, transform_span(config, arguments.data.resolve(), folder))])
        for title, data in sets:
            for monitor in ("auc", "logloss"):
                for m in measured(data, monitor, arguments.seed):
                    figures = (f"{m.auc:.4f}", f"{m.logloss:.5f}", f"{m.calibration:.3f}")
                    table.add_row(title, m.monitor, str(m.epoch), m.corrected_on, *figures)
    console_for(sys.stdout).print(table)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
