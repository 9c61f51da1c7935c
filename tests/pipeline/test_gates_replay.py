"""Recorded decisions of the gates, replayed with other thresholds."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import ml_metadata as mlmd
import pytest
from click.testing import CliRunner
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2
from rich.console import Console

from components.data_validation.decision import decide as decide_data
from components.data_validation.evidence import SpanEvidence
from components.gate_records import GateRecord, write_record
from components.quality_gate.inputs import EarlierSpan
from components.quality_gate.rules import decide
from pipeline.cli.main import cli
from pipeline.registry.gates_replay import replay, replay_tables
from pipeline.workspace import Workspace
from tests.components.data_validation.hand_written import good
from tests.components.data_validation.hand_written import span as day_of
from tests.components.quality_gate.quality_inputs import against_anchor, inputs
from tests.e2e.store import CONFIG
from transform.config.config import Config
from transform.config.config_file import load_config
from transform.config.drift import Drift
from transform.config.quality import Quality

LOSSES = (0.0, -0.002, -0.015, -0.002)


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(CONFIG)


def records(config: Config) -> list[GateRecord]:
    """Returns the records of four days; the gate refused the third day's model."""
    found: list[GateRecord] = []
    earlier: list[EarlierSpan] = []
    for span, loss in enumerate(LOSSES, start=1):
        current = inputs(f"m/{span}", against_anchor(loss, error=0.002))
        findings = decide(current, span, earlier, config.quality, config.evaluation)
        found.append(GateRecord("quality", span, current.to_json(), tuple(findings)))
        earlier.append(EarlierSpan(span, current, any(f.severity == "refuse" for f in findings)))
    return found


def refused(found: tuple[object, ...]) -> bool:
    return any(getattr(f, "severity", "") == "refuse" for f in found)


def test_the_same_thresholds_decide_the_same(config: Config) -> None:
    replayed = replay(records(config), config)
    assert [r.span for r in replayed] == [1, 2, 3, 4]
    assert [refused(r.was) for r in replayed] == [False, False, True, False]
    assert all(r.was == r.would_be for r in replayed)


def test_other_thresholds_decide_otherwise(config: Config) -> None:
    lax = dataclasses.replace(config, quality=Quality(max_auc_loss=0.05))
    assert [refused(r.would_be) for r in replay(records(config), lax)] == [False] * 4


def test_the_gate_on_data_is_replayed(config: Config) -> None:
    """The ninth and tenth day have 4,000 rows each, instead of the usual 10,000."""
    spans = [*good(8), day_of(9, rows=4_000, positives=280), day_of(10, rows=4_000, positives=280)]
    few = dataclasses.replace(config, drift=Drift(min_rows_ratio=0.5))
    found: list[GateRecord] = []
    for day in spans:
        findings = decide_data(day, [SpanEvidence.from_inputs(r.inputs) for r in found], few.drift)
        found.append(GateRecord("data_gate", day.ingested.span, day.to_inputs(), tuple(findings)))

    def stopped(records: list[GateRecord], by: Config) -> list[int]:
        replayed = replay(records, by)
        return [r.span for r in replayed if r.gate == "data_gate" and any(f.severity == "stop" for f in r.would_be)]

    assert stopped(found, few) == [9, 10]
    assert stopped(found, dataclasses.replace(config, drift=Drift(min_rows_ratio=0.1))) == []


def test_records_without_a_model_or_of_an_unknown_gate_are_left_out(config: Config) -> None:
    assert replay([GateRecord("quality", 1, {}), GateRecord("other", 1, {"a": 1})], config) == []


def test_the_command_prints_days_and_block_rates(config: Config, tmp_path: Path) -> None:
    store = mlmd.MetadataStore(Workspace.at(tmp_path).metadata_connection())
    type_id = store.put_artifact_type(mlmd_pb2.ArtifactType(name="GateRecord"))
    context_type = store.put_context_type(mlmd_pb2.ContextType(name="pipeline"))
    (context,) = store.put_contexts([mlmd_pb2.Context(type_id=context_type, name=config.name)])
    for number, record in enumerate([records(config)[2], *records(config)]):  # span 3 ran twice
        write_record(str(tmp_path / str(number)), record)
        artifact = mlmd_pb2.Artifact(type_id=type_id, uri=str(tmp_path / str(number)), state=mlmd_pb2.Artifact.LIVE)
        artifact.custom_properties["gate"].string_value = "quality"
        artifact.custom_properties["span"].int_value = record.span
        (id_,) = store.put_artifacts([artifact])
        store.put_attributions_and_associations([mlmd_pb2.Attribution(artifact_id=id_, context_id=context)], [])
    done = CliRunner().invoke(cli, ["gates", "replay", str(CONFIG), "--workspace", str(tmp_path)])
    assert done.exception is None, done.exception
    lines = done.stdout.splitlines()
    assert lines[1].split()[:4] == ["3", "quality", "refused", "refused"]
    assert any(line.split() == ["quality.max_auc_loss", "4", "1", "1", "25.0%"] for line in lines)
    assert lines[-1].split() == ["all", "of", "quality", "4", "1", "1", "25.0%"]
    narrow = Console(file=io.StringIO(), width=80)
    for table in replay_tables(Workspace.at(tmp_path), config):
        narrow.print(table)
    shown = narrow.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in shown
    assert "quality.max_auc_loss" in shown


def test_a_workspace_without_records_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    done = CliRunner().invoke(cli, ["gates", "replay", str(CONFIG), "--workspace", str(tmp_path)])
    assert "has recorded a measurement yet" in str(done.exception)


def test_a_mistyped_workspace_is_refused_and_not_made(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["gates", "replay", str(CONFIG), "--workspace", str(tmp_path / "typo")])
    assert "there must be a workspace, which `wdr run` makes" in str(done.exception)
    assert not (tmp_path / "typo").exists()
