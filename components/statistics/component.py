"""TFX's StatisticsGen with an executor of the project."""

from __future__ import annotations

from tfx import types
from tfx.components import StatisticsGen

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import executor_spec

from components.execution_types import recorded_as
from components.fingerprint import code_fingerprint
from components.statistics.executor import ColumnStatisticsExecutor


@recorded_as("components.statistics.ColumnStatisticsGen")
class ColumnStatisticsGen(StatisticsGen):  # type: ignore[misc]
    """TFX's StatisticsGen, whose statistics are computed from columns (`components.statistics.executor`)."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ColumnStatisticsExecutor)

    def __init__(self, examples: types.BaseChannel):
        super().__init__(examples=examples)
        # StatisticsGen has no parameter for it, but TFX's cache compares all properties: an edit computes again.
        # TFX 1.21.0 compiles what the dict holds by then; it does not say that the dict may be changed.
        self.exec_properties["code_fingerprint"] = code_fingerprint(type(self))
