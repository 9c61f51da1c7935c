"""The types of executions and contexts by which ML Metadata keeps a workspace's history.

They are part of what a workspace holds, and never change: a class that is renamed or moved keeps its type. Each is the
place that its class had in the first release.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Component = TypeVar("_Component", bound=type)

EXAMPLE_GEN = "components.ingestion.component.ImpressionGen"
ROW_GATE = "components.gates.RowGate"
ANOMALY_GATE = "components.gates.AnomalyGate"
DATA_VALIDATION = "components.data_validation.component.DataValidation"
DATA_GATE = "components.data_validation.component.DataGate"
PROGRESSIVE_EVALUATOR = "components.progressive.ProgressiveEvaluator"
TRANSFORM = "components.remembering_transform.RememberingTransform"
TRAINER = "components.trainer.RankingTrainer"
INFRA_VALIDATION = "components.infra_validation.component.InfraValidation"
EVALUATOR = "components.progressive.OptionalEvaluator"
QUALITY_GATE = "components.quality_gate.QualityGate"
PUSH = "components.push.Push"

#: Executions that no component of a pipeline makes.
ROLLBACK = "components.rollback.Rollback"
IMPORT = "components.served_models.Import"
RESERVED_ID = "pipeline.lost_metadata.Reserved"

#: The context that names the workspace which a database belongs to.
WORKSPACE_CONTEXT = "pipeline.owner.Workspace"


def recorded_as(execution_type: str) -> Callable[[_Component], _Component]:
    """Has ML Metadata record a component's executions under a constant type; TFX takes the class's name otherwise.

    Args:
      execution_type: One of the constants of this module.
    """

    def record(component: _Component) -> _Component:
        component.get_class_type = classmethod(lambda _: execution_type)  # type: ignore[attr-defined]
        return component

    return record
