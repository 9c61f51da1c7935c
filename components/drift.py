"""TFX's DistributionValidator for a span that may be the first: TFX's own component insists on a span before it."""

from __future__ import annotations

from tfx import types
from tfx.components.distribution_validator.executor import Executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import distribution_validator_pb2
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_component_specs import DistributionValidatorSpec
from tfx.utils import json_utils


class DriftValidatorSpec(ComponentSpec):  # type: ignore[misc]
    """TFX's, with no need for a baseline, and with the code's fingerprint."""

    PARAMETERS = {**DistributionValidatorSpec.PARAMETERS, "code_fingerprint": ExecutionParameter(type=str)}
    INPUTS = {
        **DistributionValidatorSpec.INPUTS,
        "baseline_statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics, optional=True),
    }
    OUTPUTS = DistributionValidatorSpec.OUTPUTS


class DriftValidator(base_component.BaseComponent):  # type: ignore[misc]
    """Compares the distributions of a span's examples with those of an earlier span, split by split."""

    SPEC_CLASS = DriftValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        statistics: types.BaseChannel,
        baseline_statistics: types.BaseChannel,
        config: distribution_validator_pb2.DistributionValidatorConfig,
        code_fingerprint: str,
    ):
        """Declares the component.

        Args:
          statistics: The span's.
          baseline_statistics: Those of the earlier span, or none.
          config: Which distributions are compared, and how far apart they may be.
          code_fingerprint: Of the code that compares; part of the cache's key.
        """
        super().__init__(
            spec=DriftValidatorSpec(
                statistics=statistics,
                baseline_statistics=baseline_statistics,
                distribution_validator_config=config,
                code_fingerprint=code_fingerprint,
                include_split_pairs=json_utils.dumps(None),  # each split with the same one before
                anomalies=types.Channel(type=standard_artifacts.ExampleAnomalies),
            )
        )
