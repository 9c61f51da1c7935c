"""Ten days of a good model, and of models that get worse a little each day, through the whole pipeline and its gates.

    python -m tests.soak.ten_days [--days 10] [--losses 0 0.0025 0.005] [--impressions 60000]

A series starts with an empty workspace and the same simulated days. On day d of a series with a loss, the exported
model is version 1 with the day's vocabularies, and with so much noise in its rows for apps that it has (d - 1) · loss
less AUC on the day's evaluation rows than version 1 itself; its logits are then scaled and shifted to the lowest log
loss. So the AUC is all that gets worse, by differences that are as small as those of two models of one trainer. (A
model that is trained on the day is better on the day's rows than any earlier one. The noise that hides this would make
its scores so different that a day's interval is three times as wide; and uncalibrated scores would be refused for their
log loss before the AUC shows the noise.) The state from which the next day's training starts is left as trained. A day
has some 11,000 evaluation rows by default: with the 3,000 in the other tests' store, a loss of 0.02 would be within
chance. Reports the result of each day, and repeats the gates' decisions on the series' records, as `wdr gates replay`
does. Exits with code 1 if a day without a loss is stopped or refused, if a baseline has lost 0.02 or more, or if a
replay decides differently from the run. The last day's model must have lost 0.02, or its series could not fail.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from tfx.utils import path_utils

from components.evaluation.metrics.paired import compute_metrics
from components.evaluation.scoring.scores import compute_scores, read_rows
from pipeline.nodes.settings import RunSettings
from pipeline.registry.gates_replay import recorded, replay
from pipeline.runner.run import run
from pipeline.workspace import Workspace, new_run_id
from tests.e2e import store
from tests.e2e.prepared_store import CONFIG, add_seconds_open
from tests.soak.same_days import report_of
from trainer.optimizers import JointOptimizer
from trainer.training.evaluation import evaluate, logits_function
from trainer.training.setup import TrainingSetup
from trainer.warm_start.warm_start import save_warm_start, warm_start
from trainer.wide_deep.model import WideDeep
from transform.config.config_file import load_config
from transform.errors import GateError

#: The loss before which the gates must stop a series.
_MAX_LOSS = 0.02

#: The tolerance within which the noise reaches the target AUC.
_TOLERANCE = 0.0002

#: The tables to whose rows noise is added.
_TABLES = ("wide/app_id", "embedding/app_id")


@dataclasses.dataclass(frozen=True)
class Day:
    """The result of a day.

    Attributes:
      span: The day.
      loss: How much lower its model's AUC is than the first version's on the same rows.
      version: The pushed version; None if nothing was pushed.
      reasons: Why nothing was pushed, one sentence each.
    """

    span: int
    loss: float
    version: int | None
    reasons: tuple[str, ...]


def _first_version_auc(workspace: Path, name: str) -> float:
    """The first version's AUC on the evaluation rows of the last ingested span."""
    examples = workspace / "artifacts" / "example_gen" / "examples"
    newest = max(examples.iterdir(), key=lambda folder: int(folder.name))
    rows = read_rows(str(newest / "Split-eval"), [])
    scores = compute_scores(str(workspace / "serving" / name / "1"), rows.batches())
    return compute_metrics(rows.label, rows.weight, scores)["auc"]


def _become_first_version(prepared: TrainingSetup, workspace: Path) -> None:
    """Replaces the model's variables by version 1's; tokens that version 1 does not know keep their own rows."""
    first = report_of(workspace, 1)
    assert first is not None, "version 1 must have been pushed"
    training = prepared.config.training
    optimizers = JointOptimizer(prepared.model, training, num_steps=1)  # its state is not used
    path = path_utils.serving_model_path(first["places"]["model"])
    warm_start(prepared.model, optimizers, training, prepared.transform_state, path)


def _linear_variables(model: WideDeep) -> list[tf.Variable]:
    """The wide tables and the kernel of the last layer, in which the logit without the bias is linear."""
    assert model.hidden_layers is not None, "the config must have a deep part"
    (*_, last_kernel) = model.hidden_layers.named_variables.values()
    return [*model.wide_variables, last_kernel]


def _calibrate(prepared: TrainingSetup) -> None:
    """Replaces the model's logits by slope · logit + intercept with the lowest log loss on the evaluation rows."""
    model = prepared.model
    logits_of = logits_function(model)
    batches = [(logits_of(features).numpy(), labels.numpy()) for features, labels, _ in prepared.eval_data]
    logits, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    fitted = LogisticRegression(C=np.inf).fit(logits[:, None], labels > 0.5)
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    assert slope > 0, f"the noisy logits must still rank; the slope is {slope}"
    for variable in _linear_variables(model):
        variable.assign(slope * variable)
    model.bias.assign(slope * model.bias + intercept)


def _lose(prepared: TrainingSetup, target: float) -> float:
    """Adds noise to the rows for apps until the model has the target AUC; returns the AUC that it reaches.

    A model whose AUC is not above the target as trained is left unchanged; another one is calibrated again.
    """
    logits_of, weights = logits_function(prepared.model), prepared.model.table_weights

    def auc() -> float:
        return evaluate(logits_of, prepared.eval_data).auc or 0.0

    tables = [weights[name] for name in _TABLES]
    clean = [table.numpy() for table in tables]
    rng = np.random.default_rng(1)
    noise = [rng.normal(size=values.shape).astype(np.float32) for values in clean]
    if (reached := auc()) <= target:
        return reached
    low, high = 0.0, 4.0
    for _ in range(30):
        scale = (low + high) / 2
        for table, values, of_table in zip(tables, clean, noise, strict=True):
            table.assign(values + scale * of_table)
        if abs((reached := auc()) - target) <= _TOLERANCE:
            _calibrate(prepared)
            return reached
        low, high = (scale, high) if reached > target else (low, scale)
    raise AssertionError(f"no noise brings the AUC to {target:.4f}; the last was {reached:.4f}")


@contextlib.contextmanager
def _losing(loss: float, workspace: Path, name: str, lost: list[float]) -> Iterator[None]:
    """In this context, a trained model is exported with a loss of AUC, which is appended to `lost`."""
    train = TrainingSetup.train
    clean: list[tuple[tf.Variable, np.ndarray[Any, Any]]] = []

    def train_and_lose(prepared: TrainingSetup, *arguments: Any) -> Any:
        result = train(prepared, *arguments)
        model = prepared.model
        variables = (*model.table_weights.values(), *model.dense_variables.values())
        clean.extend((variable, variable.numpy()) for variable in variables)
        if loss:
            _become_first_version(prepared, workspace)
            first = _first_version_auc(workspace, name)
            lost.append(first - _lose(prepared, first - loss))
        else:
            lost.append(0.0)
        return result

    def save_clean(model: Any, *arguments: Any) -> None:
        for variable, values in clean:
            variable.assign(values)
        save_warm_start(model, *arguments)

    with (
        mock.patch.object(TrainingSetup, "train", train_and_lose),
        mock.patch("trainer.run_fn.save_warm_start", save_clean),
    ):
        yield


def run_days(data: Path, workspace: Path, num_days: int, loss: float) -> Iterator[Day]:
    """Runs the days one after another; each day's model has lost `loss` more than the one before."""
    config = load_config(str(CONFIG))
    for span in range(1, num_days + 1):
        lost: list[float] = []
        with _losing((span - 1) * loss, workspace, config.name, lost):
            settings = RunSettings(str(data), Workspace.at(workspace), span)
            try:
                outcome = run(config, settings, new_run_id(), lambda event: None)
            except GateError as error:
                yield Day(span, 0.0, None, (str(error),))
                continue
        yield Day(span, lost[0], outcome.version, outcome.refusals)


def replayed_otherwise(workspace: Path) -> list[str]:
    """The gates and spans on which a replay with the same thresholds decides differently from the run."""
    config = load_config(str(CONFIG))
    blocking = ("stop", "refuse")
    return [
        f"{each.gate}, span {each.span}"
        for each in replay(recorded(Workspace.at(workspace).metadata_connection(), config.name), config)
        if [f for f in each.was if f.severity in blocking] != [f for f in each.would_be if f.severity in blocking]
    ]


def days_table(loss: float, days: Sequence[Day]) -> Table:
    """One row per day."""
    table = Table(title=f"{loss:g} AUC a day")
    for header in ("day", "AUC lost", "version", "why not"):
        table.add_column(header)
    for day in days:
        table.add_row(str(day.span), f"{day.loss:.4f}", str(day.version or ""), "; ".join(day.reasons))
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--losses", type=float, nargs="+", default=[0.0, 0.0025, 0.005])
    parser.add_argument("--impressions", type=int, default=60_000, help="of each day")
    arguments = parser.parse_args()
    for loss in arguments.losses:
        if loss and (total := (arguments.days - 1) * loss) - _TOLERANCE < _MAX_LOSS:
            parser.error(
                f"the last day's model must have lost {_MAX_LOSS:g} and the noise's tolerance, {_TOLERANCE:g}, or the "
                f"series cannot fail. Received: {total:g}, by {arguments.days} days with a loss of {loss:g}"
            )
    console = Console(file=os.fdopen(os.dup(1), "w"))
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        data = store.simulate(Path(folder) / "data", days=arguments.days, impressions=arguments.impressions)
        for span in range(1, arguments.days + 1):
            add_seconds_open(data / "impressions" / f"day-{span}" / "part-00000.csv", random.Random(span))
        for loss in arguments.losses:
            workspace = Path(folder) / f"workspace-{loss:g}"
            days = []
            for day in run_days(data, workspace, arguments.days, loss):
                days.append(day)
                console.print(f"{loss:g} a day, day {day.span}: {'; '.join(day.reasons) or f'version {day.version}'}")
            console.print(days_table(loss, days))
            if loss == 0 and any(day.version is None for day in days):
                failures.append("a good day was stopped or refused")
            if any(day.loss >= _MAX_LOSS for day in days if day.version is not None):
                failures.append(f"{loss:g} a day: a model that serves has lost {_MAX_LOSS} or more")
            failures += [
                f"{loss:g} a day: a replay decides otherwise on {where}" for where in replayed_otherwise(workspace)
            ]
    for failure in failures:
        console.print(failure)
    sys.exit(int(bool(failures)))


if __name__ == "__main__":
    main()
