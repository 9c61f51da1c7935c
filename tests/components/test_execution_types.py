"""Execution types are constant, so a workspace's history stays readable after a class is renamed or moved."""

from __future__ import annotations

from pathlib import Path

from components.model_store import rollback, served_models
from pipeline.claim import owner
from pipeline.create import create_pipeline
from pipeline.nodes.settings import RunSettings
from pipeline.runner import lost_metadata
from pipeline.workspace import Workspace
from transform.config.config_file import load_config

CONFIG = Path(__file__).parents[2] / "configs" / "app_store.yaml"

#: The types that the first release recorded; no later release may change one.
RECORDED = {
    "example_gen": "components.ingestion.component.ImpressionGen",
    "row_gate": "components.gates.RowGate",
    "statistics_gen": "components.statistics.ColumnStatisticsGen",
    "anomaly_gate": "components.gates.AnomalyGate",
    "data_validation": "components.data_validation.component.DataValidation",
    "data_gate": "components.data_validation.component.DataGate",
    "progressive_validation": "components.progressive.ProgressiveEvaluator",
    "transform": "components.remembering_transform.RememberingTransform",
    "trainer": "components.trainer.RankingTrainer",
    "infra_validation": "components.infra_validation.component.InfraValidation",
    "evaluator": "components.progressive.OptionalEvaluator",
    "quality_gate": "components.quality_gate.QualityGate",
    "push": "components.push.Push",
}

#: Those that later releases have added.
ADDED = {"late_labels": "components.late_labels.component.LateLabels"}


def test_each_component_is_recorded_under_the_type_of_its_first_release(tmp_path: Path) -> None:
    pipeline = create_pipeline(load_config(CONFIG), RunSettings(str(tmp_path), Workspace.at(tmp_path)))
    types = {component.id: component.type for component in pipeline.components}
    ours = {node: kind for node, kind in types.items() if not kind.startswith("tfx.")}
    assert ours == RECORDED | ADDED


def test_what_no_component_records_has_the_types_of_the_first_release() -> None:
    assert rollback.EXECUTION_TYPE == "components.rollback.Rollback"
    assert served_models.EXECUTION_TYPE == "components.served_models.Import"
    assert lost_metadata.EXECUTION_TYPE == "pipeline.lost_metadata.Reserved"
    assert owner.CONTEXT_TYPE == "pipeline.owner.Workspace"
