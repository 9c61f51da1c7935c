"""Types of executions and contexts under which ML Metadata stores a workspace's history.

They are stored in workspaces and must never change: a class that is renamed or moved keeps its type. Each type is the
dotted path that its class had in the first release.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Component = TypeVar("_Component", bound=type)


def _first_place(*parts: str) -> str:
    """Joins a dotted path. Written as one string, it would count as an import in the code fingerprints."""
    return ".".join(parts)


EXAMPLE_GEN = _first_place("components", "ingestion.component.ImpressionGen")
ROW_GATE = _first_place("components", "gates.RowGate")
ANOMALY_GATE = _first_place("components", "gates.AnomalyGate")
DATA_VALIDATION = _first_place("components", "data_validation.component.DataValidation")
DATA_GATE = _first_place("components", "data_validation.component.DataGate")
PROGRESSIVE_EVALUATOR = _first_place("components", "progressive.ProgressiveEvaluator")
TRANSFORM = _first_place("components", "remembering_transform.RememberingTransform")
TRAINER = _first_place("components", "trainer", "RankingTrainer")
INFRA_VALIDATION = _first_place("components", "infra_validation.component.InfraValidation")
EVALUATOR = _first_place("components", "progressive.OptionalEvaluator")
QUALITY_GATE = _first_place("components", "quality_gate.QualityGate")
PUSH = _first_place("components", "push.Push")

#: Types of executions that are not created by a component of a pipeline.
ROLLBACK = _first_place("components", "rollback.Rollback")
IMPORT = _first_place("components", "served_models.Import")
RESERVED_ID = _first_place("pipeline", "lost_metadata.Reserved")

#: The type of the context that names the workspace to which a database belongs.
WORKSPACE_CONTEXT = _first_place("pipeline", "owner.Workspace")


def recorded_as(execution_type: str) -> Callable[[_Component], _Component]:
    """Makes ML Metadata record a component's executions under a constant type; by default TFX uses the class's name.

    Args:
      execution_type: One of the constants of this module.
    """

    def record(component: _Component) -> _Component:
        component.get_class_type = classmethod(lambda _: execution_type)  # type: ignore[attr-defined]
        return component

    return record
