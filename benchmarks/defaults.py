"""The defaults against scikit-learn on five data sets: `python -m benchmarks.defaults`.

Each set of `benchmarks.shapes` is written as a CSV file, `wdr init`'s config for it is taken as it is, and the pipeline
ingests, transforms and trains. A logistic regression and a gradient boosting of scikit-learn learn from the same
training rows. All three score the same evaluation rows. The table has the AUC of each, the model's AUC minus that of
the better of both, and the 95 % interval of this difference, by a paired bootstrap over evaluation rows.

`--seed-offset` makes the sets from other seeds: a default is chosen on those before it is measured on the sets' own
seeds. `--initial-accumulator` is FTRL's, in place of the default.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

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
from transform.signature_names import SERVING_SIGNATURE

Scores = npt.NDArray[np.float64]

#: Draws of the bootstrap.
NUM_DRAWS = 500

#: The most values of a feature that scikit-learn's gradient boosting reads as categories.
_MAX_CATEGORIES = 255


@dataclasses.dataclass(frozen=True)
class Rows:
    """A split's rows, as ingestion wrote them: the serialized examples, the features, and the labels."""

    records: list[bytes]
    features: pd.DataFrame
    labels: npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A data set up to the training."""

    shape: Shape
    config: Config
    data: Transformed
    train: Rows
    eval: Rows


@dataclasses.dataclass(frozen=True)
class Result:
    """A row of the table: AUC by model, and the difference to the better of scikit-learn's with its interval."""

    name: str
    aucs: dict[str, float]
    difference: float
    low: float
    high: float
    num_epochs: int
    num_steps: int
    seconds: float

    @property
    def is_no_worse(self) -> bool:
        """Whether the model is no worse than the better of both by more than the interval."""
        return self.high >= 0


def prepare(shape: Shape, folder: Path) -> Prepared:
    """Writes a data set, and runs the pipeline with `wdr init`'s config up to tf.Transform."""
    workspace = folder / "workspace"
    path = folder / f"{shape.name}.csv"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shape.write(path)
    text = initial_config(path, None, 50_000, folder / "config.yaml").text
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    config = parse_config(parse_yaml(text, shape.name), shape.name)
    data = transform_span(config, folder, workspace)
    examples = newest(Workspace.at(workspace).artifacts / EXAMPLE_GEN / "examples")
    train, held_out = (read_split(config, examples / f"Split-{split}") for split in ("train", "eval"))
    return Prepared(shape, config, data, train, held_out)


def with_accumulator(prepared: Prepared, initial_accumulator: float) -> Prepared:
    """Returns the data set with another initial accumulator of FTRL in its config."""
    training = prepared.config.training
    ftrl = dataclasses.replace(training.wide_optimizer, initial_accumulator=initial_accumulator)
    config = dataclasses.replace(prepared.config, training=dataclasses.replace(training, wide_optimizer=ftrl))
    return dataclasses.replace(prepared, config=config)


def read_split(config: Config, folder: Path) -> Rows:
    """Reads the examples of a split; a missing number is NaN, a missing text None, a list a tuple."""
    records = [bytes(record) for record in read_records(expand_patterns([str(folder / "*")])).as_numpy_iterator()]
    columns: dict[str, list[Any]] = {f.name: [] for f in config.spec.features}
    labels = []
    for record in records:
        entries = tf.train.Example.FromString(record).features.feature
        labels.append(entries[LABEL].int64_list.value[0])
        for f in config.spec.features:
            if not f.has_ids:
                columns[f.name].append(next(iter(entries[f.name].float_list.value), np.nan))
            else:
                texts = tuple(text.decode() for text in entries[f.name].bytes_list.value)
                columns[f.name].append(texts if f.is_list else next(iter(texts), "<missing>"))
    return Rows(records, pd.DataFrame(columns), np.array(labels))


def with_lists_parted(config: Config, train: Rows, held_out: Rows) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the features with a column of 0 and 1 for each value of a list."""
    frames = [train.features, held_out.features]
    for f in config.spec.features:
        if f.is_list:
            binarizer = MultiLabelBinarizer().fit(train.features[f.name])
            names = [f"{f.name}={value}" for value in binarizer.classes_]
            parted = [pd.DataFrame(binarizer.transform(frame[f.name]), columns=names) for frame in frames]
            frames = [frame.drop(columns=f.name).join(more) for frame, more in zip(frames, parted, strict=True)]
    return frames[0], frames[1]


def scikit_learn(prepared: Prepared) -> dict[str, Scores]:
    """Trains scikit-learn's two models, and returns their scores of the evaluation rows.

    The logistic regression has a weight for each value that ten rows have; the gradient boosting has categories, and
    the positive share of a value, cross-fitted, of a feature with more values than it can have categories.
    """
    train, held_out = with_lists_parted(prepared.config, prepared.train, prepared.eval)
    texts = [f.name for f in prepared.config.spec.features if f.kind == "categorical"]
    numbers = [name for name in train if name not in texts]
    many = [name for name in texts if train[name].nunique() > _MAX_CATEGORIES - 1]
    few = [name for name in texts if name not in many]
    filled = make_pipeline(StandardScaler())
    logistic = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10), texts), (filled, numbers)
        ),
        LogisticRegression(max_iter=500),
    )
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    boosting = make_pipeline(
        make_column_transformer((ordinal, few), (TargetEncoder(random_state=1), many), ("passthrough", numbers)),
        HistGradientBoostingClassifier(categorical_features=list(range(len(few))), random_state=1, early_stopping=True),
    )
    medians = train[numbers].median()
    found = {}
    for name, model in (("logistic regression", logistic), ("gradient boosting", boosting)):
        frames = [frame.fillna(medians) if model is logistic else frame for frame in (train, held_out)]
        model.fit(frames[0], prepared.train.labels)
        found[name] = np.asarray(model.predict_proba(frames[1])[:, 1])
    return found


def train(prepared: Prepared, config: Config, folder: Path) -> tuple[Scores, int, int]:
    """Trains the model; returns its scores of the evaluation rows, and the numbers of epochs and steps."""
    report = prepared.data.train(config, folder)
    signature = tf.saved_model.load(str(serving_model_dir(folder))).signatures[SERVING_SIGNATURE]
    records = prepared.eval.records
    scores = [
        signature(examples=tf.constant(records[at : at + 4096]))["scores"].numpy()
        for at in range(0, len(records), 4096)
    ]
    return np.concatenate(scores).reshape(-1).astype(float), report.num_epochs, report.num_steps


def interval(labels: npt.NDArray[np.int64], ours: Scores, other: Scores) -> tuple[float, float]:
    """Returns the 95 % interval of the difference in AUC, by a paired bootstrap over rows."""
    rng = np.random.default_rng(1)
    differences = []
    for _ in range(NUM_DRAWS):
        at = rng.integers(len(labels), size=len(labels))
        differences.append(roc_auc_score(labels[at], ours[at]) - roc_auc_score(labels[at], other[at]))
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


def measured(prepared: Prepared, folder: Path, others: dict[str, Scores]) -> Result:
    """Trains the model with its defaults and compares it with scikit-learn's."""
    start = time.perf_counter()
    ours, num_epochs, num_steps = train(prepared, prepared.config, folder)
    seconds = time.perf_counter() - start
    labels = prepared.eval.labels
    aucs = {name: float(roc_auc_score(labels, scores)) for name, scores in {"defaults": ours, **others}.items()}
    best = max(others, key=lambda name: aucs[name])
    low, high = interval(labels, ours, others[best])
    return Result(prepared.shape.name, aucs, aucs["defaults"] - aucs[best], low, high, num_epochs, num_steps, seconds)


def show(console: Console, results: Sequence[Result]) -> None:
    """Prints the table."""
    table = Table(title="AUC on the evaluation rows")
    columns = (
        "data set",
        *results[0].aucs,
        "difference to the better",
        "95 % interval",
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
            *(f"{auc:.4f}" for auc in result.aucs.values()),
            f"{result.difference:+.4f}",
            f"{result.low:+.4f} to {result.high:+.4f}",
            "yes" if result.is_no_worse else "no",
            *(str(number) for number in (result.num_epochs, result.num_steps)),
            f"{result.seconds:.0f}",
        )
    console.print(table)


def main() -> None:
    """Measures all data sets, or the one named by `--only`; exits with 1 if one is worse by more than its interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[shape.name for shape in SHAPES], help="this data set alone")
    parser.add_argument("--folder", type=Path, help="keep the data sets here")
    parser.add_argument("--seed-offset", type=int, default=0, help="is added to the seed of each data set")
    parser.add_argument("--initial-accumulator", type=float, help="FTRL's, in place of the default")
    arguments = parser.parse_args()
    console, results = console_for(sys.stdout), []
    with tempfile.TemporaryDirectory() as temporary:
        root = (arguments.folder or Path(temporary)).resolve()
        for shape in SHAPES:
            if arguments.only in (None, shape.name):
                seed = shape.seed + arguments.seed_offset
                prepared = prepare(dataclasses.replace(shape, seed=seed), root / f"{shape.name}-{seed}")
                if arguments.initial_accumulator is not None:
                    prepared = with_accumulator(prepared, arguments.initial_accumulator)
                with tempfile.TemporaryDirectory(dir=root) as model:
                    results.append(measured(prepared, Path(model), scikit_learn(prepared)))
                console.print(results[-1])
    show(console, results)
    sys.exit(not all(result.is_no_worse for result in results))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
