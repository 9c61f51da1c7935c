"""How each model did on the span after those that it was trained on: the history of progressive validation."""

from __future__ import annotations

import dataclasses

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from rich.table import Table
from tfx.dsl.io import fileio

from components.lineage import artifacts_of, examples_behind, producer, producer_class
from components.measured import Measured, change_words, read_measured
from components.progressive import ProgressiveEvaluator
from pipeline.metadata_handle import Metadata
from pipeline.workspace import Workspace
from transform.errors import InputError


@dataclasses.dataclass(frozen=True)
class ProgressiveValidation:
    """One progressive validation.

    Attributes:
      span: The span that was new to both models.
      trained_to: The last span that the model was trained on.
      model_uri: The model.
      measured: Its metrics on the span's evaluation examples, and those of the model before it.
    """

    span: int
    trained_to: int
    model_uri: str
    measured: Measured


def read_progress(store: mlmd.MetadataStore, evaluation: metadata_store_pb2.Artifact) -> ProgressiveValidation | None:
    """Reads one validation from its ModelEvaluation; None if there was no model to validate."""
    made_by = producer(store, evaluation.id)
    if made_by is None:
        return None
    inputs = artifacts_of(store, made_by, inputs=True)
    models = {a.id: a for a in inputs if a.type == "Model"}
    spans = [a.custom_properties["span"].int_value for a in inputs if a.type == "Examples"]
    if not models:
        return None
    model = models[max(models)]  # the other one, if there are two, was there before it
    trained_to = max(a.custom_properties["span"].int_value for a in examples_behind(store, model.id))
    return ProgressiveValidation(max(spans), trained_to, model.uri, read_measured(evaluation.uri)[""])


def read_history(connection: metadata_store_pb2.ConnectionConfig) -> list[ProgressiveValidation]:
    """All progressive validations of a workspace, by span; of one that was done again, the last."""
    with Metadata(connection) as handle:
        store = handle.store
        evaluations = sorted(store.get_artifacts_by_type("ModelEvaluation"), key=lambda artifact: artifact.id)
        ours = [a for a in evaluations if producer_class(store, a.id) == ProgressiveEvaluator.__name__]
        found = [read_progress(store, a) for a in ours if fileio.exists(a.uri)]
    by_span = {progress.span: progress for progress in found if progress is not None}
    return [by_span[span] for span in sorted(by_span)]


def history_table(workspace: Workspace) -> Table:
    """A row per span: how the last model did there, and the one before it."""
    history = read_history(workspace.metadata_connection())
    if not history:
        raise InputError(f"no model has met a span after its own yet ({workspace.root})")
    table = Table(box=None, pad_edge=False)
    names = list(dict.fromkeys(name for progress in history for name in progress.measured.metrics))
    for header in ("span", "trained to", "examples", *names):
        table.add_column(header, justify="right")
    for progress in history:
        measured = progress.measured
        cells = [against_baseline(measured, name) if name in measured.metrics else "" for name in names]
        table.add_row(str(progress.span), str(progress.trained_to), f"{measured.num_examples:,}", *cells)
    return table


def against_baseline(measured: Measured, name: str) -> str:
    """A metric beside the baseline's, with the interval of the change where there is one."""
    value = f"{measured.metrics[name]:.4f}"
    if name not in measured.baseline:
        return value
    return f"{value} (before {measured.baseline[name]:.4f}{change_words(measured.changes, name)})"
