"""Progressive validation: earlier models are evaluated on a span before any model is trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_metadata as mlmd
from absl import logging
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import executor_spec
from tfx.dsl.components.common import resolver

from components.artifact_types import Artifacts
from components.artifacts import MODEL_ID
from components.evaluation.component import ColumnEvaluator
from components.evaluation.executor import ColumnExecutor, find_problem
from components.evaluation.results import MODEL, write_measured
from components.execution_types import PROGRESSIVE_EVALUATOR, recorded_as
from components.lineage import find_last_span_before, producer, read_artifacts
from components.model_store.served_models import why_not_measurable


class PreviousModels(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `model` to the model of the last span before the run's, and `baseline` to the one before it.

    Of several models of that span, the last one is taken. It is used whether it was pushed or not: the next span shows
    whether the gates were right. But infra validation must have blessed it, since it runs in this process. The one
    before it is the model that its training started from, the baseline of that time.

    A model that reads a feature which the examples lack is left out: it would score them worse than it serves.

    Inputs: `examples`, the run's own; `model`, `baseline` and `blessing` (InfraBlessing), all of the pipeline's.
    """

    def __init__(self, features: Sequence[str]):
        """Selects the models.

        Args:
          features: The names of the features that the examples have.
        """
        self._features = features

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        span = current.get_int_custom_property("span")
        blessings = [b for b in input_dict["blessing"] if b.get_int_custom_property("blessed")]
        blessed = {blessing.get_int_custom_property(MODEL_ID) for blessing in blessings}
        model = find_last_span_before(store, (m for m in input_dict["model"] if m.id in blessed), span)
        if model is None or not self._is_measurable(store, model):
            return {"examples": [], "model": [], "baseline": [], "blessing": []}
        trained_by = producer(store, model.id)
        given = set() if trained_by is None else {a.id for a in read_artifacts(store, trained_by, inputs=True)}
        baseline = [m for m in input_dict["baseline"] if m.id in given and self._is_measurable(store, m)]
        return {"examples": [], "model": [model], "baseline": baseline[:1], "blessing": []}

    def _is_measurable(self, store: mlmd.MetadataStore, model: types.Artifact) -> bool:
        if problem := why_not_measurable(store, model, self._features):
            logging.warning("an earlier model is not measured on the span: %s (%s)", problem, model.uri)
        return not problem


class OptionalEvaluatorExecutor(ColumnExecutor):
    """The Evaluator's executor that does nothing without a model. It blesses no model: the quality gate does."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        if not input_dict.get("model"):
            logging.info("there is no model to evaluate")
            return
        super().Do(input_dict, output_dict, exec_properties)


class ProgressiveExecutor(OptionalEvaluatorExecutor):
    """The same for an earlier model, which may be unable to score the examples: then only the reason is written.

    An error would stop the training of a new model, on this span and on all later ones.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        try:
            super().Do(input_dict, output_dict, exec_properties)
        except Exception:  # Beam may wrap the error of a worker in one of any type
            problem = find_problem(input_dict[MODEL], input_dict, exec_properties)
            if not problem:
                raise
            logging.warning("no earlier model is measured on the span: %s", problem)
            (evaluation,) = output_dict["evaluation"]
            write_measured(evaluation.uri, {}, {MODEL: problem})


@recorded_as("components.progressive.OptionalEvaluator")
class OptionalEvaluator(ColumnEvaluator):
    """The Evaluator with an optional model."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(OptionalEvaluatorExecutor)


@recorded_as(PROGRESSIVE_EVALUATOR)
class ProgressiveEvaluator(OptionalEvaluator):
    """The Evaluator of earlier models on a span that they were not trained on; a first span has no such models."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ProgressiveExecutor)
