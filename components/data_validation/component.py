"""The components that validate a span's data: DataValidation measures and records it, DataGate stops the run."""

# TFX reads the annotations of a function component at import, so they are not postponed here.

import dataclasses
from typing import Any

from pydantic import TypeAdapter
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import base_executor, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components.artifact_types import Artifacts, GateRecord, GateVerdict, Quarantine
from components.data_validation.decision import decide
from components.data_validation.evidence import SpanEvidence
from components.data_validation.findings import GATE
from components.data_validation.gates import settle
from components.data_validation.label_rules.shares import label_anchor
from components.data_validation.measuring import measure
from components.data_validation.reading import read_examples, rescored, score, to_columns
from components.evaluation.scoring.scores import ScoringError
from components.execution_types import recorded_as
from components.gate_records import GATE as GATE_PROPERTY
from components.gate_records import SPAN, Finding, read_record, read_records, write_record
from components.gate_records import GateRecord as Record
from components.ingestion.evidence import read_evidence
from components.model_store.served_models import find_version, why_not_comparable
from components.spec_component import SpecComponent
from transform.config.component_settings import EvaluationSettings
from transform.config.drift import Drift

_SETTINGS = TypeAdapter(Drift)


class DataValidationSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of DataValidation."""

    PARAMETERS = {
        "config": ExecutionParameter(type=str),
        "settings": ExecutionParameter(type=str),
        "serving_root": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "quarantine": ChannelParameter(type=Quarantine),
        "serving_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "earlier_records": ChannelParameter(type=GateRecord, optional=True),
    }
    OUTPUTS = {"record": ChannelParameter(type=GateRecord)}


class DataValidationExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Measures the span, decides, and writes the gate record."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        (examples,) = input_dict["examples"]
        (quarantine,) = input_dict["quarantine"]
        (output,) = output_dict["record"]
        config = EvaluationSettings.from_json(exec_properties["config"])
        serialized = read_examples(examples)
        scores, not_compared = None, ""
        if input_dict.get("serving_model"):
            (model,) = input_dict["serving_model"]
            root = exec_properties["serving_root"]
            not_compared = why_not_comparable(root, find_version(root, model), config.spec.example_names)
            if not not_compared:
                try:
                    scores = score(serialized, path_utils.serving_model_path(model.uri))
                except ScoringError as error:  # then only other rules judge
                    not_compared = str(error)
        current = measure(to_columns(serialized, config), scores, read_evidence(quarantine.uri), config)
        if config.sources.are_served:
            root = exec_properties["serving_root"]
            current = dataclasses.replace(current, rescored=rescored(serialized, root, config.spec.example_names))
        records = read_records(artifact.uri for artifact in input_dict.get("earlier_records") or [])
        earlier = [SpanEvidence.from_inputs(record.inputs) for record in records]
        settings = _SETTINGS.validate_json(exec_properties["settings"])
        current = dataclasses.replace(current, label_anchor=label_anchor(current, earlier, settings))
        found = decide(current, earlier, settings)
        if not_compared:
            sentence = f"the baseline's scores of the span are not measured: {not_compared}"
            found.append(Finding(GATE, "drift", "cannot_judge", "baseline", None, None, len(serialized), sentence))
        write_record(output.uri, Record(GATE, current.span, current.to_inputs(), tuple(found)))
        output.set_string_custom_property(GATE_PROPERTY, GATE)
        output.set_int_custom_property(SPAN, current.span)


@recorded_as("components.data_validation.component.DataValidation")
class DataValidation(SpecComponent):
    """Measures a span's data, compares them with the spans before it, and records the measurements and findings.

    Args:
      examples: The span's examples.
      quarantine: The Quarantine of the same ingestion, with the evidence that ingestion wrote.
      serving_model: A pushed model that was not trained on the span; none on a first run.
      earlier_records: The records of earlier spans that were let through; none on a first span.
      config: Its sections of the config, as JSON.
      settings: The bounds.
      serving_root: The serving folder.
      code_fingerprint: The fingerprint of the code that measures and decides; part of the cache key.
    """

    SPEC_CLASS = DataValidationSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(DataValidationExecutor)

    def __init__(self, settings: Drift, **given: Any):
        super().__init__(settings=_SETTINGS.dump_json(settings).decode(), **given)


@recorded_as("components.data_validation.component.DataGate")
@component  # type: ignore[untyped-decorator]
def DataGate(
    record: InputArtifact[GateRecord],
    verdict: OutputArtifact[GateVerdict],
    accept_reason: Parameter[str],
    code_fingerprint: Parameter[str],
) -> None:
    """Stops the run if DataValidation found the span unfit for training."""
    del code_fingerprint  # part of the cache key
    stops = read_record(record.uri).of_severity("stop")
    settle([finding.sentence for finding in stops], accept_reason, verdict)
