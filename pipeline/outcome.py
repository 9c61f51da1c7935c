"""What a run came to: read from its artifacts, not from its memory, so that a cached node tells the same."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import tensorflow_model_analysis as tfma
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.io import fileio
from tfx.orchestration import metadata

from components.infra_validation.component import VERDICT_FILE
from components.ingestion.counts import Counts, read_counts
from pipeline.create import TUNER
from pipeline.evaluation import METRICS
from trainer.run_fn import TRAINING_REPORT_FILE, WIDE_WEIGHTS_FILE
from transform.settings import Evaluation, Threshold


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one run.

    Attributes:
      counts: Of the rows.
      spans: The window that was trained on, newest first.
      training: The trainer's report.
      metrics: The candidate's, by name.
      baseline: The serving model's on the same examples; empty on a first run.
      num_eval_examples: How many they were measured on.
      infra: The verdict of the infra validation.
      refusals: Why the model was not pushed, a sentence each; empty if it was.
      version: The pushed version; None if there is none.
      places: Where what lies, by what it is.
    """

    counts: Counts
    spans: tuple[int, ...]
    training: Mapping[str, Any]
    metrics: Mapping[str, float]
    baseline: Mapping[str, float]
    num_eval_examples: int
    infra: Mapping[str, Any]
    refusals: tuple[str, ...]
    version: int | None
    places: Mapping[str, str]

    def to_json(self) -> str:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return json.dumps({**fields, "counts": json.loads(self.counts.to_json())}, indent=2)


def read_outcome(
    connection: metadata_store_pb2.ConnectionConfig, executions: Mapping[str, int], evaluation: Evaluation
) -> Outcome:
    """Reads the outcome of a finished run.

    Args:
      connection: To ML Metadata.
      executions: By node, its execution in the run.
      evaluation: The thresholds, to tell which of them refused the model.
    """
    with metadata.Metadata(connection) as handle:
        outputs = {node: _outputs(handle.store, execution) for node, execution in executions.items()}
    quarantine = _only(outputs["example_gen"], "Quarantine")
    model = _only(outputs["trainer"], "Model")
    evaluation_artifact = _only(outputs["evaluator"], "ModelEvaluation")
    infra = _only(outputs["infra_validation"], "InfraBlessing")
    pushed = _only(outputs["push"], "PushedModel")
    metrics, baseline, count = _metrics(evaluation_artifact.uri)
    version = None
    places = {
        "quarantine": quarantine.uri,
        "model": model.uri,
        "strongest weights": os.path.join(model.uri, WIDE_WEIGHTS_FILE),
        "evaluation": evaluation_artifact.uri,
    }
    if TUNER in outputs:
        places["trials of the search"] = _only(outputs[TUNER], "TunerResults").uri
    refusals = _quality_refusals(metrics, baseline, evaluation)
    if not _only(outputs["evaluator"], "ModelBlessing").custom_properties["blessed"].int_value and not refusals:
        refusals = [f"the Evaluator did not bless the model ({evaluation_artifact.uri})"]
    verdict = json.loads(_read(os.path.join(infra.uri, VERDICT_FILE)))
    refusals += [f"infra validation: {problem}" for problem in verdict["problems"]]
    if pushed.custom_properties["pushed"].int_value:
        version = pushed.custom_properties["version"].int_value
        places["pushed model"] = pushed.custom_properties["pushed_destination"].string_value
    return Outcome(
        counts=read_counts(quarantine.uri),
        spans=tuple(a.custom_properties["span"].int_value for a in outputs["span_window"] if a.type == "Examples"),
        training=json.loads(_read(os.path.join(model.uri, TRAINING_REPORT_FILE))),
        metrics=metrics,
        baseline=baseline,
        num_eval_examples=count,
        infra=verdict,
        refusals=() if version is not None else tuple(refusals),
        version=version,
        places=places,
    )


def _outputs(store: Any, execution_id: int) -> list[metadata_store_pb2.Artifact]:
    output = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
    events = store.get_events_by_execution_ids([execution_id])
    artifacts = {a.id: a for a in store.get_artifacts_by_id([e.artifact_id for e in events if e.type in output])}
    return [artifacts[e.artifact_id] for e in events if e.type in output]


def _only(artifacts: list[metadata_store_pb2.Artifact], type_name: str) -> metadata_store_pb2.Artifact:
    (artifact,) = [a for a in artifacts if a.type == type_name]
    return artifact


def _read(path: str) -> str:
    with fileio.open(path, "r") as file:
        text: str = file.read()
    return text


def _metrics(evaluation_uri: str) -> tuple[dict[str, float], dict[str, float], int]:
    """The candidate's and the baseline's metrics over all examples, and the number of examples."""
    by_model: dict[str, dict[str, float]] = {}
    for record in tfma.load_metrics(evaluation_uri):
        if record.slice_key.single_slice_keys:
            continue
        for entry in record.metric_keys_and_values:
            key = entry.key
            if not key.is_diff:
                by_model.setdefault(key.model_name, {})[key.name] = entry.value.double_value.value
    candidate = by_model.get("candidate") or by_model[""]
    names = [name for name in METRICS if name in candidate]
    baseline = by_model.get("baseline", {})
    return (
        {name: candidate[name] for name in names},
        {name: baseline[name] for name in names if name in baseline},
        int(candidate["example_count"]),
    )


def _quality_refusals(metrics: Mapping[str, float], baseline: Mapping[str, float], evaluation: Evaluation) -> list[str]:
    """A sentence for each threshold that the candidate missed."""
    sentences = []
    for name, rule in evaluation.thresholds.items():
        sentences += _missed(name, rule, metrics[name], baseline.get(name))
    return sentences


def _missed(name: str, rule: Threshold, value: float, before: float | None) -> list[str]:
    if math.isnan(value):
        return [f"{name} is not a number"]
    sentences = []
    if rule.min is not None and value < rule.min:
        sentences.append(f"{name} must be at least {rule.min:g}. Received: {value:.4f}")
    if rule.max is not None and value > rule.max:
        sentences.append(f"{name} must be at most {rule.max:g}. Received: {value:.4f}")
    higher_is_better = METRICS[name][1]
    if rule.max_worsening is not None and before is not None and higher_is_better is not None:
        worsening = before - value if higher_is_better else value - before
        if worsening > rule.max_worsening:
            sentences.append(
                f"{name} may be worse than the serving model's by at most {rule.max_worsening:g}. "
                f"Received: {value:.4f} after {before:.4f}"
            )
    return sentences
