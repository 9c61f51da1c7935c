"""Trains configs on the same rows, and compares their models on the same evaluation rows."""

from __future__ import annotations

import dataclasses
import os
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.evaluation.metrics.bootstrap import standard_errors
from components.evaluation.metrics.replicates import of_rows
from components.evaluation.results import Estimate
from components.evaluation.scoring.scores import Rows, read_rows
from components.model_store.manifest import read_manifest
from pipeline.runner.launch import NodeEvent
from pipeline.trial.rows import PreparedRows, prepare_rows
from pipeline.workspace import Workspace
from trainer.training.evaluation import logits_function
from trainer.training.setup import prepare
from trainer.warm_start.files import warm_start_dir
from transform.config.config import Config
from transform.errors import InputError
from transform.example_keys import REQUEST_ID

#: What is compared, in the order in which it is shown.
METRICS = ("auc", "logloss", "calibration")

_Array = np.ndarray[Any, np.dtype[Any]]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A config's model, as measured on the trial's evaluation rows.

    Attributes:
      metrics: By metric, with the standard error of the bootstrap.
      changes: By metric, the difference from the reference's model on the same rows; empty for the reference itself.
      num_train: The number of training rows.
      num_eval: The number of evaluation rows.
      prepare_seconds: The processor time of ingestion and Transform; little if an earlier config had shared the work.
      train_seconds: The processor time of the training and of scoring the evaluation rows.
    """

    metrics: Mapping[str, Estimate]
    changes: Mapping[str, Estimate]
    num_train: int
    num_eval: int
    prepare_seconds: float
    train_seconds: float


@dataclasses.dataclass(frozen=True)
class Scored:
    """A trained model's scores, float32 `[rows]`, of evaluation rows, and what they took."""

    rows: Rows
    scores: _Array
    num_train: int
    prepare_seconds: float
    train_seconds: float


def try_configs(
    configs: Mapping[str, Config],
    data_root: str,
    workspace: Workspace,
    *,
    reference: str,
    span: int | None = None,
    num_rows: int | None = None,
    base_model: str | None = None,
    on_event: Callable[[NodeEvent], None] = lambda event: None,
) -> dict[str, Trained]:
    """Trains each config's model and measures it, without gates, export or push.

    Each config trains with its own `training.seed`, which by default is the same for all.

    Args:
      configs: The configs by name.
      data_root: The folder below which their sources lie.
      workspace: The scratch workspace.
      reference: The name of the config that the others are compared with.
      span: The span; None takes the latest.
      num_rows: The most rows, for training and evaluation together; None takes all of the span.
      base_model: The SavedModel's folder of the model that all configs start from; None for a cold start.
      on_event: Called when a node, or a config's training (named after the config), starts or ends.

    Returns:
      The results by config, in the order of `configs`.

    Raises:
      InputError: If the configs' evaluation rows are not the same.
      TrainingError: If a training diverges, or has no examples.
    """
    scored: dict[str, Scored] = {}
    for name, config in configs.items():
        start = _processor_seconds()
        rows = prepare_rows(config, data_root, span, num_rows, workspace, on_event)
        prepared = _processor_seconds()
        on_event(NodeEvent(name, "running"))
        begun = time.monotonic()
        num_train, scores = _train(config, rows, base_model)
        on_event(NodeEvent(name, "done", time.monotonic() - begun))
        units = [key for key in (config.user, REQUEST_ID if config.sources.impressions.request_id else None) if key]
        scored[name] = Scored(
            read_rows(rows.raw_eval, units), scores, num_train, prepared - start, _processor_seconds() - prepared
        )
    check_same_rows(scored, reference)
    return compared(scored, reference)


def saved_model_of(version: str) -> str:
    """Returns the folder of the trained model that was pushed as a version, given the version's folder.

    Raises:
      InputError: If the folder is no pushed version, or its model was removed.
    """
    model_uri = read_manifest(version).model_uri
    saved_model = os.path.join(model_uri or "", "Format-Serving")
    if model_uri is None or not tf.io.gfile.exists(warm_start_dir(saved_model)):
        raise InputError(f"a base model must be a pushed version whose trained model is kept. Received: {version}")
    return saved_model


def _train(config: Config, rows: PreparedRows, base_model: str | None) -> tuple[int, _Array]:
    """Trains a model; returns the number of its training rows, and the evaluation rows' scores in their order."""
    output = tft.TFTransformOutput(rows.transform_graph)
    setup = prepare(config, output, rows.files("train"), rows.files("eval"), base_model)
    setup.train()
    logits_of = logits_function(setup.model)
    scores = [tf.sigmoid(logits_of(features)).numpy() for features, _, _ in setup.eval_data]
    return setup.label_counts.total, np.concatenate([np.zeros(0, np.float32), *scores])


def check_same_rows(scored: Mapping[str, Scored], reference: str) -> None:
    """Raises InputError unless all configs have the reference's evaluation rows, by their labels, weights and units."""
    expected = scored[reference].rows
    for name, found in scored.items():
        pairs = ((getattr(found.rows, part), getattr(expected, part)) for part in ("label", "weight", "unit"))
        if not all(np.array_equal(one, other) for one, other in pairs):
            raise InputError(
                "configs can be compared if they evaluate the same rows: the same sources, split and users. Received: "
                f"{len(found.rows.label):,} rows of {name} that differ from the {len(expected.label):,} of {reference}"
            )


def compared(scored: Mapping[str, Scored], reference: str) -> dict[str, Trained]:
    """Measures models on the same rows; a change's standard error is that of the evaluator's paired bootstrap."""
    rows, names = scored[reference].rows, list(scored)
    scores = np.stack([found.scores for found in scored.values()], axis=1).astype(np.float64)
    replicates = of_rows(rows.unit.astype(np.float64), rows.label, rows.weight, scores)
    base = names.index(reference)
    found = {}
    for at, (name, one) in enumerate(scored.items()):
        values = {metric: replicates[metric][:, at] for metric in METRICS}
        changes = {metric: values[metric] - replicates[metric][:, base] for metric in METRICS if at != base}
        found[name] = Trained(
            {metric: _estimate(of_metric) for metric, of_metric in values.items()},
            {metric: _estimate(of_metric) for metric, of_metric in changes.items()},
            one.num_train,
            len(rows.label),
            one.prepare_seconds,
            one.train_seconds,
        )
    return found


def _estimate(replicates: _Array) -> Estimate:
    return Estimate(float(replicates[0]), float(standard_errors(replicates)))


def _processor_seconds() -> float:
    """The processor time so far of this process and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
