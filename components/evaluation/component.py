"""TFX's Evaluator with one more input: an earlier evaluation, whose scores are not computed again."""

from __future__ import annotations

import json

from tensorflow_model_analysis.proto import config_pb2  # TFMA 0.52.0 lacks its documented `tfma.EvalConfig`
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_component_specs import EvaluatorSpec

from components.evaluation.executor import ColumnExecutor


class ColumnEvaluatorSpec(ComponentSpec):  # type: ignore[misc]
    """The spec of TFX's Evaluator, plus the earlier evaluation and the code's fingerprint."""

    PARAMETERS = {**EvaluatorSpec.PARAMETERS, "code_fingerprint": ExecutionParameter(type=str)}
    INPUTS = {
        **EvaluatorSpec.INPUTS,
        "earlier_evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation, optional=True),
    }
    OUTPUTS = EvaluatorSpec.OUTPUTS
    TYPE_ANNOTATION = EvaluatorSpec.TYPE_ANNOTATION


class ColumnEvaluator(base_beam_component.BaseBeamComponent):  # type: ignore[misc]
    """TFX's Evaluator on the split `eval`, with an executor of the project (`components.evaluation.executor`)."""

    SPEC_CLASS = ColumnEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ColumnExecutor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        schema: types.BaseChannel,
        eval_config: config_pb2.EvalConfig,
        code_fingerprint: str,
        earlier_evaluation: types.BaseChannel | None = None,
    ):
        """Declares the component.

        Args:
          examples: The examples.
          model: The model, or none.
          baseline_model: The model that it is compared with, or none.
          schema: The examples' schema.
          eval_config: What is measured.
          code_fingerprint: The fingerprint of the code that measures; part of the cache key.
          earlier_evaluation: An evaluation on the same split, which has kept the scores of its models; None if there is
            none.
        """
        super().__init__(
            spec=ColumnEvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                schema=schema,
                eval_config=eval_config,
                example_splits=json.dumps(["eval"]),
                code_fingerprint=code_fingerprint,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
                earlier_evaluation=earlier_evaluation,
            )
        )
