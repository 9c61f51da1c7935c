"""Replays the gates' decisions on their recorded inputs with other thresholds."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from rich.markup import escape
from rich.table import Table

from components import gate_records
from components.artifacts import GATE_RECORD
from components.data_validation import findings as data_gate
from components.data_validation.decision import decide_inputs
from components.gate_records import Finding, GateRecord, read_record
from components.lineage import artifacts_of_pipeline
from components.quality_gate import judgement as quality
from components.quality_gate.inputs import EarlierSpan, QualityInputs
from components.quality_gate.rules import decide
from pipeline.metadata.store import open_store
from pipeline.workspace import Workspace
from transform.config.config import Config
from transform.errors import InputError

#: The severities of findings that stop a span or refuse a model, and the word that the table shows for each.
_BLOCKS = {"stop": "stopped", "refuse": "refused"}


@dataclasses.dataclass(frozen=True)
class Replayed:
    """A gate's decision on a span, recorded and replayed.

    Attributes:
      gate: The gate.
      span: The span.
      was: The gate's recorded findings.
      would_be: Its findings with the other thresholds.
    """

    gate: str
    span: int
    was: tuple[Finding, ...]
    would_be: tuple[Finding, ...]


def replay(records: Iterable[GateRecord], config: Config) -> list[Replayed]:
    """Decides on recorded inputs with the thresholds of a config.

    A span that the replay stops, or a model that it refuses, is not a reference for later spans. The exception is a
    span that a person accepted: it was stopped, but the gate on quality has a record of it. Each span keeps its
    recorded anchor.

    Args:
      records: One record per gate and span.
      config: The config with the thresholds.

    Returns:
      The decisions, by gate, then by span.
    """
    by_gate: dict[str, list[GateRecord]] = {}
    for record in sorted(records, key=lambda r: (r.gate, r.span)):
        if record.inputs:
            by_gate.setdefault(record.gate, []).append(record)
    went_on = {record.span for record in by_gate.get(quality.GATE, [])}
    return [
        *_replay_data(by_gate.get(data_gate.GATE, []), config, went_on),
        *_replay_quality(by_gate.get(quality.GATE, []), config),
    ]


def _replay_data(records: Sequence[GateRecord], config: Config, went_on: Container[int]) -> list[Replayed]:
    replayed: list[Replayed] = []
    earlier: list[Mapping[str, Any]] = []
    for record in records:
        found = decide_inputs(record.inputs, earlier, config.drift)
        is_accepted = bool(record.of_severity("stop")) and record.span in went_on
        if is_accepted or not any(f.severity == "stop" for f in found):
            earlier.append(record.inputs)
        replayed.append(Replayed(record.gate, record.span, record.findings, tuple(found)))
    return replayed


def _replay_quality(records: Sequence[GateRecord], config: Config) -> list[Replayed]:
    replayed: list[Replayed] = []
    earlier: list[EarlierSpan] = []
    for record in records:
        inputs = QualityInputs.from_json(record.inputs)
        found = decide(inputs, record.span, earlier[-config.quality.pool_spans :], config.quality, config.evaluation)
        earlier.append(EarlierSpan(record.span, inputs, any(f.severity == "refuse" for f in found)))
        replayed.append(Replayed(record.gate, record.span, record.findings, tuple(found)))
    return replayed


def recorded(connection: metadata_store_pb2.ConnectionConfig, pipeline_name: str) -> list[GateRecord]:
    """Reads the records of a pipeline's gates, the newest of each gate and span."""
    newest: dict[tuple[str, int], str] = {}
    for artifact in sorted(artifacts_of_pipeline(open_store(connection), pipeline_name), key=lambda a: a.id):
        if artifact.type == GATE_RECORD and artifact.state == metadata_store_pb2.Artifact.LIVE:
            properties = artifact.custom_properties
            key = (properties[gate_records.GATE].string_value, properties[gate_records.SPAN].int_value)
            newest[key] = artifact.uri
    return [read_record(uri) for uri in newest.values()]


def replay_tables(workspace: Workspace, config: Config) -> list[Table]:
    """Returns two tables: the spans with a recorded or replayed block, and the block rate of each threshold.

    Raises:
      InputError: If no gate of the config's pipeline has written a record.
    """
    replayed = replay(recorded(workspace.metadata_connection(), config.name), config)
    if not replayed:
        raise InputError(f"no gate of `{config.name}` has recorded a measurement yet ({workspace.root})")
    return [_spans_table(replayed), _rules_table(replayed)]


def _spans_table(replayed: Sequence[Replayed]) -> Table:
    table = Table(box=None, pad_edge=False)
    for header in ("span", "gate", "was", "would be"):
        table.add_column(header, no_wrap=True)
    table.add_column("because", overflow="fold")
    for each in sorted(replayed, key=lambda r: r.span):
        if not (_blocking(each.was) or _blocking(each.would_be)):
            continue
        because = _blocking(each.would_be) or _blocking(each.was)
        sentences = escape("; ".join(finding.sentence for finding in because))
        table.add_row(str(each.span), each.gate, _word(each.was), _word(each.would_be), sentences)
    if not table.row_count:
        spans = sorted(r.span for r in replayed)
        table.add_row(f"{spans[0]} to {spans[-1]}", "all", "passed", "passed", "")
    return table


def _rules_table(replayed: Sequence[Replayed]) -> Table:
    """For each threshold that blocked or would block a span: on how many of its gate's spans it does."""
    table = Table(box=None, pad_edge=False)
    table.add_column("threshold", overflow="fold")
    for header in ("spans", "blocked", "would block", "rate"):
        table.add_column(header, justify="right", no_wrap=True)
    for gate in sorted({r.gate for r in replayed}):
        of_gate = [r for r in replayed if r.gate == gate]
        rules = sorted({f.rule for r in of_gate for f in (*_blocking(r.was), *_blocking(r.would_be))})
        for rule in rules:
            was = sum(any(f.rule == rule for f in _blocking(r.was)) for r in of_gate)
            would_be = sum(any(f.rule == rule for f in _blocking(r.would_be)) for r in of_gate)
            table.add_row(rule, *_rate(len(of_gate), was, would_be))
        was = sum(bool(_blocking(r.was)) for r in of_gate)
        would_be = sum(bool(_blocking(r.would_be)) for r in of_gate)
        table.add_row(f"all of {gate}", *_rate(len(of_gate), was, would_be))
    return table


def _rate(num_spans: int, was: int, would_be: int) -> tuple[str, str, str, str]:
    """Returns a threshold's cells: numbers of spans, of blocked spans, of spans it would block, and their share."""
    return str(num_spans), str(was), str(would_be), f"{would_be / num_spans:.1%}"


def _blocking(found: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.severity in _BLOCKS]


def _word(found: Iterable[Finding]) -> str:
    blocking = _blocking(found)
    return _BLOCKS[blocking[0].severity] if blocking else "passed"
