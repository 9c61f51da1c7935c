"""The InfraValidator component: validates the exported model in a separate process, without Docker, before a push."""

from __future__ import annotations

from typing import Any

from absl import logging

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import base_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components.artifact_types import Artifacts, Catalog
from components.artifacts import MAY_CHANGE, MODEL_ID
from components.execution_types import recorded_as
from components.infra_validation.driver import InfraValidatorDriver
from components.infra_validation.requests import raw_requests, select_latest_span
from components.infra_validation.validation import validate
from components.infra_validation.verdict import write_verdict
from components.model_store.versions import checksums
from components.spec_component import SpecComponent
from transform.config.component_settings import InfraSettings


class InfraValidatorSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of InfraValidator."""

    PARAMETERS = {"config": ExecutionParameter(type=str), "code_fingerprint": ExecutionParameter(type=str)}
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "catalog": ChannelParameter(type=Catalog),
    }
    OUTPUTS = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}


class InfraValidatorExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Runs the validation, and blesses the model or logs why not."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        (blessing,) = output_dict["blessing"]
        model = artifact_utils.get_single_instance(input_dict["model"])
        baseline = input_dict.get("baseline_model")
        own = select_latest_span(input_dict["examples"])
        config = InfraSettings.from_json(exec_properties["config"])
        validated = checksums(path_utils.serving_model_path(model.uri))
        verdict = validate(
            config,
            model.uri,
            artifact_utils.get_single_uri(baseline) if baseline else None,
            artifact_utils.get_single_uri(input_dict["catalog"]),
            list(raw_requests(own, "eval", config.infra_validation.num_requests)),
            lambda: raw_requests(own, "eval", as_evaluated=True),
        )
        write_verdict(blessing.uri, verdict, validated)
        blessing.set_int_custom_property(MODEL_ID, model.id)
        blessing.set_int_custom_property("blessed", int(not verdict.problems))
        if verdict.may_change:
            blessing.set_int_custom_property(MAY_CHANGE, 1)
        for problem in verdict.problems:
            logging.error("infra validation: %s", problem)


@recorded_as("components.infra_validation.component.InfraValidation")
class InfraValidator(SpecComponent):
    """Blesses a model whose scores in a separate process agree with trainer and catalog, and that keeps its budgets.

    Args:
      model: The trained model.
      baseline_model: The baseline, which is measured in the same run; none on a first run.
      examples: The window of raw examples that the model was trained and evaluated on.
      catalog: The catalog snapshot that the model was exported with.
      config: Its sections of the config, as JSON.
      code_fingerprint: The fingerprint of the code that validates; part of the cache key.
    """

    SPEC_CLASS = InfraValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(InfraValidatorExecutor)
    DRIVER_CLASS = InfraValidatorDriver
