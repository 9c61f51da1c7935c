"""Writes what was measured with TFMA's writers, as TFMA writes what its own evaluators measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import tensorflow_model_analysis as tfma
from apache_beam.options.pipeline_options import PipelineOptions

# What its packages do not export, as of TFMA 0.52.0: docs/reference/private_uses.md
from tensorflow_model_analysis.evaluators import metrics_validator
from tensorflow_model_analysis.metrics import MetricKey, PlotKey

from components.evaluation.measuring import Measured
from components.evaluation.plan import Plan

#: The key of an extract that is all that was measured.
_MEASURED = "measured"

#: The name of the stage that the evaluator runs after.
_EXTRACTED = "Measured"


def write_results(measured: Sequence[Measured], plan: Plan, saved_models: Mapping[str, str], output: str) -> None:
    """Writes TFMA's results, in this process: they are small.

    Args:
      measured: The metrics and plots of each slice.
      plan: What was measured.
      saved_models: The models' SavedModels by name.
      output: The folder of the results.
    """
    shared_models = [
        # `tfma.default_eval_shared_model` loads a model to find out whether it is Keras'.
        tfma.EvalSharedModel(
            model_name=spec.name,
            model_type=tfma.TF_GENERIC,
            model_path=saved_models[spec.name],
            is_baseline=spec.is_baseline,
        )
        for spec in plan.eval_config.model_specs
    ]
    evaluator = tfma.evaluators.Evaluator(stage_name="EvaluateColumns", run_after=_EXTRACTED, ptransform=_Results(plan))
    with beam.Pipeline(runner="FnApiRunner", options=PipelineOptions([])) as pipeline:
        _ = (
            pipeline
            | beam.Create([{_MEASURED: list(measured)}])
            | tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=shared_models,
                eval_config=plan.eval_config,
                extractors=[tfma.extractors.Extractor(stage_name=_EXTRACTED, ptransform=beam.Map(lambda same: same))],
                evaluators=[evaluator],
                output_path=output,
            )
        )


class _Results(beam.PTransform):  # type: ignore[misc]
    """Converts what was measured to what TFMA's writers take."""

    def __init__(self, plan: Plan):
        super().__init__()
        self._plan = plan

    def expand(self, extracts: Any) -> dict[str, Any]:
        metrics = extracts | "Slices" >> beam.FlatMap(lambda extract: extract[_MEASURED])
        return {
            tfma.METRICS_KEY: metrics | "Metrics" >> beam.Map(_of_kind, MetricKey),
            tfma.PLOTS_KEY: metrics | "Plots" >> beam.Map(_of_kind, PlotKey),
            tfma.ATTRIBUTIONS_KEY: metrics | "Attributions" >> beam.MapTuple(lambda slice_key, _: (slice_key, {})),
            tfma.VALIDATIONS_KEY: metrics
            | "NoPlots" >> beam.Map(_of_kind, MetricKey)
            | "Validate" >> beam.Map(metrics_validator.validate_metrics, self._plan.eval_config),
        }


def _of_kind(found: Measured, kind: type) -> Measured:
    return found[0], {key: value for key, value in found[1].items() if type(key) is kind}
