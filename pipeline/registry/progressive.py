"""History of progressive validation: each model's metrics on the span after those that it was trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from pydantic.dataclasses import dataclass
from rich.table import Table

from components import storage
from components.evaluation.results import BASELINE, MODEL, EvaluationResult, change_words, interval, read_written
from components.execution_types import PROGRESSIVE_EVALUATOR
from components.lineage import examples_behind, producer, producer_type, read_artifacts
from pipeline.metadata.connection import place_of
from pipeline.metadata.store import open_store
from transform.documents import CONFIG
from transform.errors import InputError


@dataclasses.dataclass(frozen=True)
class ProgressiveValidation:
    """One progressive validation.

    Attributes:
      span: The span, which was new to both models.
      trained_to: The last span that the model was trained on.
      model_uri: The model.
      measured: Its metrics on the span's evaluation examples, and those of the model before it.
      before_uri: The model before it; empty if there was none, or if it could not be measured.
    """

    span: int
    trained_to: int
    model_uri: str
    measured: EvaluationResult
    before_uri: str = ""


@dataclass(frozen=True, config=CONFIG)
class History:
    """How each model did on the span after its own, by `wdr models history --json`.

    Attributes:
      validations: The validations, by span.
      schema_version: The version of this dataclass's schema.
    """

    validations: Sequence[ProgressiveValidation]
    schema_version: Literal[1] = 1


def read_progress(store: mlmd.MetadataStore, evaluation: metadata_store_pb2.Artifact) -> ProgressiveValidation | None:
    """Reads a validation from its ModelEvaluation artifact; None if there was no model that could be measured."""
    inputs = _inputs(store, evaluation)
    models = sorted((a for a in inputs if a.type == "Model"), key=lambda artifact: artifact.id)
    if not models:
        return None
    measured, _ = _measured(evaluation.uri)
    if measured is None:
        return None
    before, model = models[:-1], models[-1]  # of two models, the one with the lower id is the one before
    return ProgressiveValidation(
        span=max(a.custom_properties["span"].int_value for a in inputs if a.type == "Examples"),
        trained_to=max(a.custom_properties["span"].int_value for a in examples_behind(store, model.id)),
        model_uri=model.uri,
        measured=measured,
        before_uri=before[0].uri if before and measured.baseline else "",
    )


def progress_problem(store: mlmd.MetadataStore, evaluation: metadata_store_pb2.Artifact) -> str:
    """Returns why a model of a validation was not measured, as a sentence; empty if all were, or there was none."""
    if not any(a.type == "Model" for a in _inputs(store, evaluation)):
        return ""
    _, problems = _measured(evaluation.uri)
    if MODEL in problems:
        return problems[MODEL]
    return f"{problems[BASELINE]}, the model before the last one" if BASELINE in problems else ""


def _measured(evaluation_uri: str) -> tuple[EvaluationResult | None, Mapping[str, str]]:
    """Returns an evaluation's results over all examples, None without a measured model, and `Measured.problems`."""
    written = read_written(evaluation_uri)
    if written is not None:
        return written.slices.get(""), written.problems
    # Of release 0.2.0 or before, which wrote TFMA's files only: importing TFMA takes some seconds.
    from components.evaluation.metrics_files import read_measured

    return read_measured(evaluation_uri)[""], {}


def read_history(
    connection: metadata_store_pb2.ConnectionConfig, name: str | None = None
) -> list[ProgressiveValidation]:
    """Reads all progressive validations of a model's pipeline, by span; of a repeated one, the last.

    Args:
      connection: The connection to ML Metadata.
      name: The model, whose name the pipeline has; may be None if ML Metadata has one pipeline.

    Raises:
      InputError: If there is no such pipeline, or there are several and none is named.
    """
    store = open_store(connection)
    if not (evaluations := _evaluations(store)):
        return []
    names = sorted(context.name for context in store.get_contexts_by_type("pipeline"))
    if name not in names and (name is not None or len(names) > 1):
        raise InputError(f"`--model` must name one of {names}. Received: {name or 'none'} ({place_of(connection)})")
    if len(names) > 1:
        evaluations = [evaluation for evaluation in evaluations if name in _find_pipelines(store, evaluation)]
    found = [read_progress(store, evaluation) for evaluation in evaluations]
    by_span = {progress.span: progress for progress in found if progress is not None}
    return [by_span[span] for span in sorted(by_span)]


def read_common(
    connection: metadata_store_pb2.ConnectionConfig, one_uri: str, other_uri: str
) -> ProgressiveValidation | None:
    """Reads the last validation that measured two models on a span that was new to both; None if there is none."""
    store = open_store(connection)
    for evaluation in reversed(_evaluations(store)):
        if {a.uri for a in _inputs(store, evaluation) if a.type == "Model"} == {one_uri, other_uri}:
            progress = read_progress(store, evaluation)
            if progress is not None and progress.before_uri:
                return progress
    return None


def _evaluations(store: mlmd.MetadataStore) -> list[metadata_store_pb2.Artifact]:
    """Returns the ModelEvaluations of progressive validation whose files still exist, oldest first."""
    try:
        found = store.get_artifacts_by_type("ModelEvaluation")
    except mlmd.errors.NotFoundError:  # the type does not exist: nothing has been evaluated yet
        return []
    ours = [a for a in found if producer_type(store, a.id) == PROGRESSIVE_EVALUATOR and storage.exists(a.uri)]
    return sorted(ours, key=lambda artifact: artifact.id)


def _find_pipelines(store: mlmd.MetadataStore, artifact: metadata_store_pb2.Artifact) -> set[str]:
    return {context.name for context in store.get_contexts_by_artifact(artifact.id) if context.type == "pipeline"}


def _inputs(store: mlmd.MetadataStore, evaluation: metadata_store_pb2.Artifact) -> list[metadata_store_pb2.Artifact]:
    """Returns the input artifacts of an evaluation."""
    made_by = producer(store, evaluation.id)
    return [] if made_by is None else read_artifacts(store, made_by, inputs=True)


def history_table(history: Sequence[ProgressiveValidation]) -> Table:
    """Returns a table with one row per span and metric: the last model's and the one's before. 78 characters wide."""
    table = Table(box=None, pad_edge=False)
    table.add_column("span", justify="right")
    table.add_column("trained\nto", justify="right")
    table.add_column("examples", justify="right")
    table.add_column("metric", no_wrap=True)
    for header in ("model", "before", "change (95 %)"):
        table.add_column(header, justify="right", no_wrap=True)
    for progress in history:
        measured = progress.measured
        place = (str(progress.span), str(progress.trained_to), f"{measured.num_examples:,}")
        for name, value in measured.metrics.items():
            before = f"{measured.baseline[name]:.4f}" if name in measured.baseline else ""
            change = interval(measured.changes[name]) if name in measured.changes else ""
            table.add_row(*place, name, f"{value:.4f}", before, change)
    return table


def against_baseline(measured: EvaluationResult, name: str) -> str:
    """Formats a metric with the baseline's, and with the interval of the change if there is one."""
    value = f"{measured.metrics[name]:.4f}"
    if name not in measured.baseline:
        return value
    return f"{value} (before {measured.baseline[name]:.4f}{change_words(measured.changes, name)})"
