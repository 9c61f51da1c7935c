"""Run result, rebuilt from artifacts, so that a cached node reports the same as an executed one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ml_metadata.proto import metadata_store_pb2

from components.artifact_types import GateRecord, GateVerdict
from components.artifacts import LATE
from components.gate_records import GateRecord as Record
from components.gate_records import read_record
from components.infra_validation.verdict import read_verdict
from components.ingestion.counts import read_counts
from components.late_labels.counts import LateCounts, read_label_counts
from components.lineage import ACCEPT_REASON, ACCEPTED, ACCEPTED_BY, FORCE_REASON, NOTE, REFUSAL, ingested_examples
from components.model_store.served_models import IMPORTED_FROM, baseline_words, served_before
from components.quality_gate import judgement as quality
from components.quality_gate.inputs import QualityInputs
from pipeline.metadata.handle import Metadata
from pipeline.nodes.names import DATA_VALIDATION, LATE_LABELS, PROGRESSIVE_VALIDATION, QUALITY_GATE, TUNER
from pipeline.registry.progressive import progress_problem, read_progress
from pipeline.report.alike import united
from pipeline.report.references import verdict_sentence
from pipeline.report.run_report import RunResult
from pipeline.trial.suggestions import suggestions
from trainer.training.report import WIDE_WEIGHTS_FILE, read_training_report
from transform.config.config import Config
from transform.config.sources import Sources
from transform.files.reference_scores import REFERENCE_MODELS

#: Maximum number of values of the label's column that are named.
_MAX_LABEL_VALUES = 3

#: The output artifacts, by node.
_Outputs: TypeAlias = Mapping[str, list[metadata_store_pb2.Artifact]]


def read_run_result(connection: metadata_store_pb2.ConnectionConfig, executions: Mapping[str, int]) -> RunResult:
    """Reads the result of a finished run, given each node's execution in ML Metadata."""
    with Metadata(connection) as handle:
        outputs = {node: _outputs(handle.store, execution) for node, execution in executions.items()}
        validation = _only(outputs[PROGRESSIVE_VALIDATION], "ModelEvaluation")
        progress, problem = read_progress(handle.store, validation), progress_problem(handle.store, validation)
        (push,) = handle.store.get_executions_by_id([executions["push"]])
        of_nodes = handle.store.get_executions_by_id(list(executions.values()))
        ingested = ingested_examples(handle.store, _only(outputs["example_gen"], "Examples").id)
    config = Config.from_json(push.custom_properties["config"].string_value)
    window, model = outputs["span_window"], _only(outputs["trainer"], "Model")
    counts = read_counts(_only(outputs["example_gen"], "Quarantine").uri)
    verdict = read_verdict(_only(outputs["infra_validation"], "InfraBlessing").uri)
    # A model that infra validation refused did not come to the Evaluator.
    record = None if verdict.problems else read_record(_only(outputs[QUALITY_GATE], GateRecord.TYPE_NAME).uri)
    reasons = [f"infra validation: {problem}" for problem in verdict.problems]
    if record is not None:
        reasons = quality_refusals(record)
    found = RunResult(
        span=counts.span,
        counts=counts,
        spans=_spans(window, late=False),
        missing_spans=_missing_spans(window, counts.span, config.ingestion.window_spans, ingested),
        late_spans=_spans(window, late=True),
        late=_late_counts(outputs.get(LATE_LABELS, [])),
        data_findings=read_record(_only(outputs[DATA_VALIDATION], "GateRecord").uri).findings,
        progress=progress,
        progress_problem=problem,
        training=read_training_report(model.uri),
        infra=verdict,
        **_evaluation_fields(record),
        **_push_fields(_only(outputs["push"], "PushedModel"), reasons),
        **_baseline_fields(push, config, model, outputs["serving_model"]),
        places=_places(outputs, was_evaluated=record is not None),
        accepted=tuple(accepted_words([a for artifacts in outputs.values() for a in artifacts], of_nodes)),
        label=label_words(config.sources),
    )
    if not verdict_sentence(found):
        return found
    return dataclasses.replace(found, suggestions=tuple(suggestion.words for suggestion in suggestions(config)))


def label_words(sources: Sources) -> str:
    """Returns what label 1 means as a clause with the log's names, such as "`clicked` is 1"."""
    if (installs := sources.installs) is not None:
        keys = " and ".join(f"`{key}`" for key in installs.keys)
        return f"an install with the same {keys} follows within {installs.attribution_seconds:,.0f} s"
    label, rule = sources.impressions.label, sources.impressions.label_rule
    if rule is None:
        return f"`{label}` is 1"
    if rule.at_least is not None:
        return f"`{label}` is at least {rule.at_least:g}"
    shown = [f"`{value}`" for value in rule.positive[:_MAX_LABEL_VALUES]]
    left = len(rule.positive) - len(shown)
    return f"`{label}` is {' or '.join(shown)}" + (f" or one of {left} more values" if left else "")


def quality_refusals(record: Record) -> list[str]:
    """Returns why the gate on quality refuses the model: one sentence of a rule for all slices that it is about."""
    return quality.refusals(united(record.findings))


def _evaluation_fields(record: Record | None) -> dict[str, Any]:
    """Returns the report's fields on the candidate model's quality, from the record of the gate on quality."""
    if record is None:
        return {}
    inputs = QualityInputs.from_json(record.inputs)
    whole = inputs.whole
    return {
        "metrics": whole.metrics,
        "baseline": whole.baseline,
        "changes": {name: (change.low, change.high) for name, change in whole.changes.items()},
        "intervals": {name: (whole.candidate(name).low, whole.candidate(name).high) for name in whole.metrics},
        "num_eval_examples": whole.num_examples,
        "slices": {name: in_slice for name, in_slice in sorted(inputs.measured.items()) if name},
        "references": {name: inputs.references[name] for name in REFERENCE_MODELS if name in inputs.references},
        "references_problem": inputs.references_problem,
        "auc_falls": inputs.auc_falls,
        "findings": tuple(record.findings),
    }


def _push_fields(pushed: metadata_store_pb2.Artifact, reasons: Sequence[str]) -> dict[str, Any]:
    """Returns the report's fields on the push; `reasons` are the gates' refusals."""
    properties = pushed.custom_properties
    version = properties["version"].int_value if properties["pushed"].int_value else None
    forced = properties[FORCE_REASON].string_value
    refusals = [*reasons, *filter(None, [properties[REFUSAL].string_value])]
    return {
        "status": "refused" if version is None else "pushed",
        "version": version,
        "forced": forced,
        "refusals": () if version is not None and not forced else tuple(refusals),
        "push_note": properties[NOTE].string_value,
    }


def _places(outputs: _Outputs, *, was_evaluated: bool) -> dict[str, str]:
    model, pushed = _only(outputs["trainer"], "Model").uri, _only(outputs["push"], "PushedModel").custom_properties
    places = {
        "quarantine": _only(outputs["example_gen"], "Quarantine").uri,
        "model": model,
        "strongest weights": os.path.join(model, WIDE_WEIGHTS_FILE),
    }
    if TUNER in outputs:
        places["trials of the search"] = _only(outputs[TUNER], "TunerResults").uri
    if was_evaluated:
        places["evaluation"] = _only(outputs["evaluator"], "ModelEvaluation").uri
    if pushed["pushed"].int_value:
        places["pushed model"] = pushed["pushed_destination"].string_value
    return places


def _spans(window: Sequence[metadata_store_pb2.Artifact], *, late: bool) -> tuple[int, ...]:
    """Returns the spans of a window's Examples, newest first: of their own, or of the completed tails among them."""
    examples = [a for a in window if a.type == "Examples" and (LATE in a.custom_properties) == late]
    return tuple(a.custom_properties["span"].int_value for a in examples)


def _missing_spans(
    window: Sequence[metadata_store_pb2.Artifact],
    span: int,
    window_spans: int,
    ingested: Sequence[metadata_store_pb2.Artifact],
) -> tuple[int, ...]:
    """Returns the spans, newest first, that a run's window lacks, from the first span on that was ever ingested."""
    first = min(a.custom_properties["span"].int_value for a in ingested)
    return tuple(sorted({*range(max(first, span - window_spans + 1), span)} - {*_spans(window, late=False)})[::-1])


def _late_counts(completed: Sequence[metadata_store_pb2.Artifact]) -> LateCounts | None:
    return read_label_counts(completed[0].custom_properties) if completed else None


def _baseline_fields(
    push: metadata_store_pb2.Execution,
    config: Config,
    candidate: metadata_store_pb2.Artifact,
    resolved: Sequence[metadata_store_pb2.Artifact],
) -> dict[str, Any]:
    """Returns the report's fields on the baseline; `resolved` is the output of the resolver of the baseline."""
    root = push.custom_properties["serving_root"].string_value
    found = next((artifact for artifact in resolved if artifact.type == "Model"), None)
    words = baseline_words(
        root,
        candidate.uri,
        is_found=found is not None,
        is_imported=found is not None and IMPORTED_FROM in found.custom_properties,
        features=config.spec.example_names,
    )
    before = served_before(root, candidate.uri)
    return {"held_against": words, "baseline_version": before[0] if before and found is not None else None}


def accepted_words(
    artifacts: Iterable[metadata_store_pb2.Artifact], executions: Iterable[metadata_store_pb2.Execution]
) -> list[str]:
    """Returns what a person accepted, one sentence for each gate that would have stopped the run.

    Args:
      artifacts: The run's output artifacts.
      executions: The executions of its nodes. If a gate's has a reason, and no gate had anything to accept, a sentence
        says that.
    """
    found = []
    for artifact in artifacts:
        if artifact.type == GateVerdict.TYPE_NAME:
            what, why, who = (
                artifact.custom_properties[key].string_value for key in (ACCEPTED, ACCEPT_REASON, ACCEPTED_BY)
            )
            found += [f"{what}; accepted by {who}: {why}"] if what else []
    asked = any(execution.custom_properties[ACCEPT_REASON].string_value for execution in executions)
    return ["`--accept-span` overruled nothing: no gate on data stops the span"] if asked and not found else found


def _outputs(store: Any, execution_id: int) -> list[metadata_store_pb2.Artifact]:
    output = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
    events = store.get_events_by_execution_ids([execution_id])
    artifacts = {a.id: a for a in store.get_artifacts_by_id([e.artifact_id for e in events if e.type in output])}
    return [artifacts[e.artifact_id] for e in events if e.type in output]


def _only(artifacts: list[metadata_store_pb2.Artifact], type_name: str) -> metadata_store_pb2.Artifact:
    (artifact,) = [a for a in artifacts if a.type == type_name]
    return artifact
