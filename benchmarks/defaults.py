"""The defaults against the reference models, on five data sets or on CSV files: `python -m benchmarks.defaults`.

Each set of `benchmarks.shapes` is written as a CSV file, `wdr init`'s config for it is taken as it is, and the pipeline
ingests, transforms and trains, and fits the reference models of `trainer.reference_models` on the same training rows.
All score the same evaluation rows. The table has the AUC of each, the model's AUC minus that of the best simple
reference model and minus that of boosted trees, and the model's calibration, the mean score ÷ the share of positives,
with 95 % intervals by a paired bootstrap over evaluation rows. `--seeds` trains several times: the model's figures are
then means over the seeds, which each draw of the bootstrap draws again, too.

`--data FOLDER` takes the folder's CSV files in place of the five sets, and `--label NAME=COLUMN` names the label of
`NAME.csv` where the guess is wrong.

`--seed-offset` makes the sets from other seeds: a default is chosen on those before it is measured on the sets' own
seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks.shapes import SHAPES, Shape
from benchmarks.transformed import Transformed, newest, serving_model_dir, transform_span
from pipeline.cli.display import console_for
from pipeline.initial_config.config_text import initial_config
from pipeline.nodes.names import EXAMPLE_GEN
from pipeline.workspace import Workspace
from trainer.training.data import expand_patterns, read_records
from transform.config.config import Config
from transform.config.config_file import parse_config, parse_yaml
from transform.example_keys import LABEL
from transform.files.reference_scores import (
    GRADIENT_BOOSTING,
    REFERENCE_MODELS,
    USER_ITEM_BIAS,
    ReferenceScores,
    read_reference_scores,
    reference_words,
)
from transform.signature_names import SERVING_SIGNATURE

Scores = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

#: Draws of the bootstrap.
NUM_DRAWS = 500


@dataclasses.dataclass(frozen=True)
class Rows:
    """The evaluation rows, as ingestion wrote them: the serialized examples, and their labels."""

    records: list[bytes]
    labels: npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A data set up to the training."""

    name: str
    config: Config
    data: Transformed
    eval: Rows


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float

    def words(self, digits: str) -> str:
        """Returns the estimate and the interval as a text, each number in a format."""
        return f"{self.estimate:{digits}} ({self.low:{digits}} to {self.high:{digits}})"


@dataclasses.dataclass(frozen=True)
class Result:
    """A row of the table.

    Attributes:
      name: The data set.
      aucs: The AUC by model; of the defaults, the mean over the seeds.
      to_simple: The defaults' AUC minus that of the best reference model but the trees.
      to_trees: The defaults' AUC minus that of the trees; None where they could not be fitted.
      calibration: The defaults' mean score ÷ the share of positives.
      simple_calibration: That of the reference model of `to_simple`. Where it misses 1 too, the share of
        positives differs between training and evaluation rows in a way that the features do not tell.
      num_epochs: The mean number of epochs.
      num_steps: The mean number of steps.
      seconds: The mean time of a training, in seconds.
    """

    name: str
    aucs: dict[str, float]
    to_simple: Interval
    to_trees: Interval | None
    calibration: Interval
    simple_calibration: Interval
    num_epochs: float
    num_steps: float
    seconds: float

    @property
    def is_no_worse(self) -> bool:
        """Whether the model is no worse than the best simple reference model by more than the interval."""
        return self.to_simple.high >= 0


def prepare(shape: Shape, folder: Path) -> Prepared:
    """Writes a data set, and runs the pipeline with `wdr init`'s config up to tf.Transform."""
    path = folder / f"{shape.name}.csv"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shape.write(path)
    return prepare_file(path, None, folder)


def prepare_file(path: Path, label: str | None, folder: Path) -> Prepared:
    """Runs the pipeline with `wdr init`'s config of a file up to tf.Transform; its workspace is in the folder."""
    workspace = folder / "workspace"
    folder.mkdir(parents=True, exist_ok=True)
    text = initial_config(path, label, 50_000, folder / "config.yaml").text
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    config = parse_config(parse_yaml(text, path.stem), path.stem)
    data = transform_span(config, path.parent, workspace)
    examples = newest(Workspace.at(workspace).artifacts / EXAMPLE_GEN / "examples")
    return Prepared(path.stem, config, data, read_rows(examples / "Split-eval"))


def with_seed(prepared: Prepared, seed: int) -> Prepared:
    """Returns the data set with another seed of the training in its config."""
    training = dataclasses.replace(prepared.config.training, seed=seed)
    return dataclasses.replace(prepared, config=dataclasses.replace(prepared.config, training=training))


def read_rows(folder: Path) -> Rows:
    """Reads the examples of a split, in the order of the files' names."""
    records = [
        record
        for file in expand_patterns([str(folder / "*")])  # one after the other, as the reference models' scores are
        for record in read_records([file]).as_numpy_iterator()
    ]
    labels = [tf.train.Example.FromString(record).features.feature[LABEL].int64_list.value[0] for record in records]
    return Rows(records, np.array(labels))


class Trained(NamedTuple):
    """A training.

    Attributes:
      scores: The model's scores of the evaluation rows, float64 `[rows]`.
      num_epochs: The number of epochs.
      num_steps: The number of steps.
      seconds: The time, in seconds.
      references: The reference models' scores.
    """

    scores: Scores
    num_epochs: int
    num_steps: int
    seconds: float
    references: ReferenceScores


def train(prepared: Prepared, config: Config, folder: Path) -> Trained:
    """Trains the model into a folder, and scores the evaluation rows."""
    start = time.perf_counter()
    report = prepared.data.train(config, folder)
    seconds = time.perf_counter() - start
    signature = tf.saved_model.load(str(serving_model_dir(folder))).signatures[SERVING_SIGNATURE]
    records = prepared.eval.records
    scores = [
        signature(examples=tf.constant(records[at : at + 4096]))["scores"].numpy()
        for at in range(0, len(records), 4096)
    ]
    references = read_reference_scores(str(folder))
    assert references is not None, "the trainer writes them"
    ours = np.concatenate(scores).reshape(-1).astype(float)
    return Trained(ours, report.num_epochs, report.num_steps, seconds, references)


def interval(trainings: Sequence[Trained], statistic: Callable[[Scores, Places], float]) -> Interval:
    """Returns a statistic's mean over trainings with its 95 % interval, by a bootstrap over trainings and rows.

    Args:
      trainings: The trainings, which scored the same rows.
      statistic: Returns the statistic of a training's scores at some places, int64 `[rows]`.
    """
    rng, rows, number = np.random.default_rng(1), len(trainings[0].scores), len(trainings)

    def mean(chosen: Sequence[int], at: Places) -> float:
        return float(np.mean([statistic(trainings[seed].scores, at) for seed in chosen]))

    draws = [mean(rng.integers(number, size=number).tolist(), rng.integers(rows, size=rows)) for _ in range(NUM_DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975]).tolist()
    return Interval(mean(range(number), np.arange(rows)), low, high)


def measured(prepared: Prepared, num_seeds: int, root: Path) -> Result:
    """Trains the model with its defaults, once with each of some seeds, and compares it with the reference models."""
    trainings: list[Trained] = []
    for seed in range(1, num_seeds + 1):
        with tempfile.TemporaryDirectory(dir=root) as folder:
            trainings.append(train(prepared, with_seed(prepared, seed).config, Path(folder)))
    labels, references = prepared.eval.labels, trainings[0].references
    np.testing.assert_array_equal(references.label, labels)
    others = {name: scores.astype(float) for name, scores in references.scores.items()}
    aucs = {name: float(roc_auc_score(labels, scores)) for name, scores in others.items()}
    aucs["defaults"] = float(np.mean([roc_auc_score(labels, training.scores) for training in trainings]))

    def difference(other: Scores) -> Interval:
        def of_rows(ours: Scores, at: Places) -> float:
            return float(roc_auc_score(labels[at], ours[at]) - roc_auc_score(labels[at], other[at]))

        return interval(trainings, of_rows)

    def calibration(ours: Scores, at: Places) -> float:
        return float(ours[at].mean() / labels[at].mean())

    trees = others.pop(GRADIENT_BOOSTING, None)
    simple = others[max(others, key=lambda name: aucs[name])]
    return Result(
        prepared.name,
        aucs,
        difference(simple),
        None if trees is None else difference(trees),
        interval(trainings, calibration),
        interval([trainings[0]._replace(scores=simple)], calibration),
        *np.mean([(t.num_epochs, t.num_steps, t.seconds) for t in trainings], axis=0).tolist(),
    )


def show(console: Console, results: Sequence[Result]) -> None:
    """Prints the table."""
    table, names = Table(title="AUC on the evaluation rows"), ("defaults", *REFERENCE_MODELS)
    columns = (
        "data set",
        *map(reference_words, names),
        "minus the best simple one",
        "minus the trees",
        "calibration",
        "that of the simple one",
        "no worse",
        "epochs",
        "steps",
        "s",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "data set" else "right")
    for result in results:
        table.add_row(
            result.name,
            *(f"{result.aucs[name]:.4f}" if name in result.aucs else "–" for name in names),
            result.to_simple.words("+.4f"),
            result.to_trees.words("+.4f") if result.to_trees else "–",
            result.calibration.words(".3f"),
            result.simple_calibration.words(".3f"),
            "yes" if result.is_no_worse else "no",
            *(f"{number:.0f}" for number in (result.num_epochs, result.num_steps, result.seconds)),
        )
    console.print(table)
    with_ids = [result.aucs for result in results if {USER_ITEM_BIAS, GRADIENT_BOOSTING} <= result.aucs.keys()]
    gains = [[aucs[name] - aucs[USER_ITEM_BIAS] for aucs in with_ids] for name in ("defaults", GRADIENT_BOOSTING)]
    if with_ids:
        defaults, trees = (float(np.mean(of_model)) for of_model in gains)
        console.print(f"users and items: mean gain over their bias: defaults {defaults:+.4f}, trees {trees:+.4f}")
    tables = [result.to_trees.estimate for result in results if result.to_trees and USER_ITEM_BIAS not in result.aucs]
    if tables:
        console.print(f"tables: mean AUC minus the trees' {np.mean(tables):+.4f}, least {min(tables):+.4f}")


def data_sets(arguments: argparse.Namespace, root: Path) -> Iterator[Prepared]:
    """Prepares the CSV files of `--data`, or the sets of `benchmarks.shapes`."""
    if arguments.data is not None:
        labels = dict(text.split("=", 1) for text in arguments.label)
        for path in sorted(arguments.data.resolve().glob("*.csv")):
            if arguments.only in (None, path.stem):
                yield prepare_file(path, labels.get(path.stem), root / path.stem)
        return
    for shape in SHAPES:
        if arguments.only in (None, shape.name):
            seed = shape.seed + arguments.seed_offset
            yield prepare(dataclasses.replace(shape, seed=seed), root / f"{shape.name}-{seed}")


def main() -> None:
    """Measures all data sets, or the one named by `--only`; exits with 1 if one is worse by more than its interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of CSV files, in place of the five sets")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=COLUMN", help="the label of NAME.csv")
    parser.add_argument("--only", metavar="NAME", help="this data set alone")
    parser.add_argument("--folder", type=Path, help="keep the data sets here")
    parser.add_argument("--seed-offset", type=int, default=0, help="is added to the seed of each of the five sets")
    parser.add_argument("--seeds", type=int, default=1, help="so many trainings of each, with the seeds 1, 2, ...")
    arguments = parser.parse_args()
    console, results = console_for(sys.stdout), []
    with tempfile.TemporaryDirectory() as temporary:
        root = (arguments.folder or Path(temporary)).resolve()
        for prepared in data_sets(arguments, root):
            results.append(measured(prepared, arguments.seeds, root))
            console.print(results[-1])
    if not results:
        parser.error(f"--data and --only must name a data set. Received: {arguments.data} and {arguments.only}")
    show(console, results)
    sys.exit(not all(result.is_no_worse for result in results))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
