"""Types of executions and contexts under which ML Metadata stores a workspace's history.

They are stored in workspaces and must never change: a class that is renamed or moved keeps its type. Each type is the
dotted path that its class had in the first release.
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

#: Types of executions that are not created by a component of a pipeline.
ROLLBACK = "components.rollback.Rollback"
IMPORT = "components.served_models.Import"
RESERVED_ID = "pipeline.lost_metadata.Reserved"

#: The type of the context that names the workspace to which a database belongs.
WORKSPACE_CONTEXT = "pipeline.owner.Workspace"


def recorded_as(execution_type: str) -> Callable[[_Component], _Component]:
    """Makes ML Metadata record a component's executions under a constant type; by default TFX uses the class's name.

    Args:
      execution_type: One of the constants of this module.
    """

    def record(component: _Component) -> _Component:
        component.get_class_type = classmethod(lambda _: execution_type)  # type: ignore[attr-defined]
        return component

    return record
