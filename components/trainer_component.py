"""TFX's Trainer with two more inputs: raw examples, some of which training scores, and the catalog of items to rank."""

from __future__ import annotations

import json
import os
from typing import Any

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.components.trainer.executor import GenericExecutor
from tfx.dsl.components.base import executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec
from tfx.types.standard_component_specs import TrainerSpec

from components.artifact_types import Artifacts, Catalog
from components.execution_types import recorded_as
from components.spec_component import SpecComponent
from transform.files.records import CATALOG_KEY
from transform.files.trainer_predictions import RAW_EVAL_FILES_KEY


class RankingTrainerSpec(ComponentSpec):  # type: ignore[misc]
    """The spec of TFX's Trainer, plus the raw examples and the catalog."""

    PARAMETERS = {name: TrainerSpec.PARAMETERS[name] for name in ("run_fn", "train_args", "eval_args", "custom_config")}
    INPUTS = {
        **{
            name: TrainerSpec.INPUTS[name]
            for name in ("examples", "transform_graph", "schema", "base_model", "hyperparameters")
        },
        "raw_examples": ChannelParameter(type=standard_artifacts.Examples),
        "catalog": ChannelParameter(type=Catalog),
    }
    OUTPUTS = TrainerSpec.OUTPUTS
    TYPE_ANNOTATION = TrainerSpec.TYPE_ANNOTATION


class RankingTrainerExecutor(GenericExecutor):  # type: ignore[misc]
    """Adds paths to `custom_config`: the patterns of the raw evaluation examples, and the catalog's folder."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        uris = artifact_utils.get_split_uris(input_dict["raw_examples"], "eval")
        custom_config = json.loads(exec_properties["custom_config"])
        custom_config[RAW_EVAL_FILES_KEY] = [os.path.join(uri, "*") for uri in uris]
        custom_config[CATALOG_KEY] = artifact_utils.get_single_uri(input_dict["catalog"])
        super().Do(
            input_dict, output_dict, {**exec_properties, "custom_config": json.dumps(custom_config, sort_keys=True)}
        )


@recorded_as("components.trainer.RankingTrainer")
class RankingTrainer(SpecComponent):
    """TFX's Trainer with the splits `train` and `eval`; `run_fn` does the rest.

    Args:
      examples: The transformed examples.
      raw_examples: The raw examples of the run's own span.
      catalog: The catalog snapshot that was ingested with them.
      transform_graph: The transform graph of tf.Transform.
      schema: The raw examples' schema.
      base_model: The model to start from, or none.
      hyperparameters: The Tuner's result; None without a Tuner.
      run_fn: The dotted path of the function that trains.
      train_args: The training splits.
      eval_args: The evaluation splits.
      custom_config: The `custom_config` that `run_fn` receives beside the artifacts.
    """

    SPEC_CLASS = RankingTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(RankingTrainerExecutor)

    def __init__(self, custom_config: dict[str, Any], **given: Any):
        super().__init__(custom_config=json.dumps(custom_config, sort_keys=True), **given)
