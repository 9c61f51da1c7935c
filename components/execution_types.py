"""The types under which ML Metadata records the executions of components.

They are stored in workspaces and must never change: a class that is renamed or moved keeps its type. Each type is the
dotted path that its class had in the first release.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

#: The type of `components.evaluation.progressive.ProgressiveEvaluator`.
PROGRESSIVE_EVALUATOR = "components.progressive.ProgressiveEvaluator"

_Component = TypeVar("_Component", bound=type)


def recorded_as(execution_type: str) -> Callable[[_Component], _Component]:
    """Makes ML Metadata record a component's executions under a constant type; by default TFX uses the class's name.

    Args:
      execution_type: The type, which `get_class_type` of the component then returns; TFX 1.21.0
        does not document that method.
    """

    def record(component: _Component) -> _Component:
        component.get_class_type = classmethod(lambda _: execution_type)  # type: ignore[attr-defined]
        return component

    return record
