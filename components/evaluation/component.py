"""TFX's Evaluator with one more input: an earlier evaluation, whose scores are not computed again."""

from __future__ import annotations

import json
from typing import Any

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_component_specs import EvaluatorSpec

from components.evaluation.executor import ColumnExecutor
from components.spec_component import SpecBeamComponent


class ColumnEvaluatorSpec(ComponentSpec):  # type: ignore[misc]
    """The spec of TFX's Evaluator, plus the earlier evaluation and the code's fingerprint."""

    PARAMETERS = {
        **{name: EvaluatorSpec.PARAMETERS[name] for name in ("eval_config", "example_splits")},
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        **EvaluatorSpec.INPUTS,
        "earlier_evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation, optional=True),
    }
    OUTPUTS = EvaluatorSpec.OUTPUTS
    TYPE_ANNOTATION = EvaluatorSpec.TYPE_ANNOTATION


class ColumnEvaluator(SpecBeamComponent):
    """TFX's Evaluator on the split `eval`, with an executor of the project (`components.evaluation.executor`).

    Args:
      examples: The examples.
      model: The model, or none.
      baseline_model: The model that it is compared with, or none.
      schema: The examples' schema.
      eval_config: What is measured, an `EvalConfig`.
      earlier_evaluation: An evaluation on the same split, which has kept the scores of its models; None if there is
        none.
      code_fingerprint: The fingerprint of the code that measures; part of the cache key.
    """

    SPEC_CLASS = ColumnEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ColumnExecutor)

    def __init__(self, **given: Any):
        super().__init__(example_splits=json.dumps(["eval"]), **given)
