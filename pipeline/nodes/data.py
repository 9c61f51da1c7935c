"""The nodes of a span's data: its ingestion, the labels of the span before, and what decides whether it is fit."""

from __future__ import annotations

from typing import NamedTuple

from tfx.components import ExampleValidator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import Artifact, Channel, standard_artifacts

from components.artifact_types import GateRecord
from components.data_validation.component import DataGate, DataValidation
from components.data_validation.findings import GATE
from components.data_validation.gates import AnomalyGate, RowGate
from components.fingerprint import code_fingerprint
from components.ingestion.component import ImpressionExampleGen
from components.late_labels.component import LateLabels
from components.resolvers import EarlierRecords, LastPushedModel, PrecedingSpan
from components.statistics.component import ColumnStatisticsGen
from pipeline.nodes.names import DATA_VALIDATION, EXAMPLE_GEN, LATE_LABELS, PRECEDING_SPAN, SCHEMA_GEN, STATISTICS_GEN
from pipeline.nodes.settings import NodeSettings

#: The gates that stop a span because of its data. A span that one of them read and did not pass is never a reference.
GATES_ON_DATA = [AnomalyGate.get_class_type(), DataGate.get_class_type()]


def all_runs_channel(artifact_type: type[Artifact], output_name: str) -> Channel:
    """Returns a channel of all artifacts that the pipeline's runs produced as an output of this name and type."""
    return Channel(type=artifact_type, output_key=output_name)


def all_models() -> Channel:
    """Returns a channel of all models that the pipeline's runs trained."""
    return all_runs_channel(standard_artifacts.Model, "model")


def ingestion(settings: NodeSettings) -> tuple[ImpressionExampleGen, list[BaseNode]]:
    """Returns the node that ingests a span's logs, and those that complete the labels of the span before, if any."""
    example_gen = ImpressionExampleGen(
        config=settings.ingestion,
        data_root=settings.run.data_root,
        span=settings.span,
        code_fingerprint=code_fingerprint(ImpressionExampleGen),
    ).with_id(EXAMPLE_GEN)
    if not settings.has_late_labels:
        return example_gen, []
    preceding_span = Resolver(
        strategy_class=PrecedingSpan,
        examples=example_gen.outputs["examples"],
        history=all_runs_channel(standard_artifacts.Examples, "examples"),
    ).with_id(PRECEDING_SPAN)
    late_labels = LateLabels(
        examples=example_gen.outputs["examples"],
        preceding=preceding_span.outputs["history"],
        config=settings.ingestion,
        code_fingerprint=code_fingerprint(LateLabels),
    ).with_id(LATE_LABELS)
    return example_gen, [preceding_span, late_labels]


class DataNodes(NamedTuple):
    """The nodes that decide whether a span's data is fit to learn from, and what later nodes read of them."""

    nodes: list[BaseNode]
    examples: Channel
    catalog: Channel
    schema: Channel
    pushed_model: Channel
    #: Nodes that learn run after these.
    gates: list[BaseNode]


def data_gates(settings: NodeSettings, example_gen: ImpressionExampleGen) -> DataNodes:
    """Returns the nodes that measure and judge a span's data."""
    examples = example_gen.outputs["examples"]
    row_gate = RowGate(
        examples=examples,
        quarantine=example_gen.outputs["quarantine"],
        accept_reason=settings.run.accept_reason,
        code_fingerprint=code_fingerprint(RowGate),
    ).with_id("row_gate")
    statistics_gen = ColumnStatisticsGen(examples=examples).with_id(STATISTICS_GEN)
    statistics_gen.add_upstream_node(row_gate)
    schema_gen = ImportSchemaGen(schema_file=settings.schema_file).with_id(SCHEMA_GEN)
    schema_gen.add_upstream_node(example_gen)  # which begins the run, or begins it again: no node may come before it
    schema = schema_gen.outputs["schema"]
    example_validator = ExampleValidator(statistics=statistics_gen.outputs["statistics"], schema=schema).with_id(
        "example_validator"
    )
    anomaly_gate = AnomalyGate(
        anomalies=example_validator.outputs["anomalies"],
        accept_reason=settings.run.accept_reason,
        code_fingerprint=code_fingerprint(AnomalyGate),
    ).with_id("anomaly_gate")
    pushed_model = Resolver(
        strategy_class=LastPushedModel,
        config={"serving_root": settings.serving_root},
        examples=examples,
        model=all_models(),
    ).with_id("last_pushed_model")
    earlier_records = Resolver(
        strategy_class=EarlierRecords,
        config={"gate": GATE, "num_spans": settings.drift.reference_spans, "gates": GATES_ON_DATA},
        examples=examples,
        records=all_runs_channel(GateRecord, "record"),
    ).with_id("earlier_records")
    data_validation = DataValidation(
        examples=examples,
        quarantine=example_gen.outputs["quarantine"],
        serving_model=pushed_model.outputs["model"],
        earlier_records=earlier_records.outputs["records"],
        config=settings.data_validation,
        settings=settings.drift,
        serving_root=settings.serving_root,
        code_fingerprint=code_fingerprint(DataValidation),
    ).with_id(DATA_VALIDATION)
    data_validation.add_upstream_node(anomaly_gate)
    data_gate = DataGate(
        record=data_validation.outputs["record"],
        accept_reason=settings.run.accept_reason,
        code_fingerprint=code_fingerprint(DataGate),
    ).with_id("data_gate")
    nodes = [
        row_gate, statistics_gen, schema_gen, example_validator, anomaly_gate,
        pushed_model, earlier_records, data_validation, data_gate,
    ]  # fmt: skip
    return DataNodes(
        nodes,
        examples,
        example_gen.outputs["catalog"],
        schema,
        pushed_model.outputs["model"],
        [anomaly_gate, data_gate],
    )
