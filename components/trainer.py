"""TFX's Trainer, told also where raw examples are, to score some itself, and where the catalog is, to rank items."""

from __future__ import annotations

import os
from typing import Any

from tfx import types
from tfx.components.trainer.executor import GenericExecutor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.proto import trainer_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec
from tfx.types.standard_component_specs import TrainerSpec
from tfx.utils import json_utils

from components import execution_types
from components.artifacts import Catalog
from components.execution_types import recorded_as


class RankingTrainerSpec(ComponentSpec):  # type: ignore[misc]
    """TFX's, the raw examples and the catalog."""

    PARAMETERS = TrainerSpec.PARAMETERS
    INPUTS = {
        **TrainerSpec.INPUTS,
        "raw_examples": ChannelParameter(type=standard_artifacts.Examples),
        "catalog": ChannelParameter(type=Catalog),
    }
    OUTPUTS = TrainerSpec.OUTPUTS
    TYPE_ANNOTATION = TrainerSpec.TYPE_ANNOTATION


class RankingTrainerExecutor(GenericExecutor):  # type: ignore[misc]
    """Puts places into `custom_config`: `raw_eval_files`, the raw evaluation examples' patterns, and `catalog`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        uris = artifact_utils.get_split_uris(input_dict["raw_examples"], "eval")
        custom_config = json_utils.loads(exec_properties["custom_config"])
        custom_config["raw_eval_files"] = [os.path.join(uri, "*") for uri in uris]
        custom_config["catalog"] = artifact_utils.get_single_uri(input_dict["catalog"])
        super().Do(input_dict, output_dict, {**exec_properties, "custom_config": json_utils.dumps(custom_config)})


@recorded_as(execution_types.TRAINER)
class RankingTrainer(base_component.BaseComponent):  # type: ignore[misc]
    """Trains as TFX's Trainer does: the splits are `train` and `eval`, the rest is `run_fn`'s."""

    SPEC_CLASS = RankingTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(RankingTrainerExecutor)

    def __init__(
        self,
        examples: types.BaseChannel,
        raw_examples: types.BaseChannel,
        catalog: types.BaseChannel,
        transform_graph: types.BaseChannel,
        schema: types.BaseChannel,
        base_model: types.BaseChannel,
        hyperparameters: types.BaseChannel | None,
        run_fn: str,
        train_args: trainer_pb2.TrainArgs,
        eval_args: trainer_pb2.EvalArgs,
        custom_config: dict[str, Any],
    ):
        """Declares the component.

        Args:
          examples: The transformed examples.
          raw_examples: The raw ones of the run's own span.
          catalog: The snapshot of the catalog that came with them.
          transform_graph: What tf.Transform learned.
          schema: The raw examples' schema.
          base_model: The model to start from, or none.
          hyperparameters: What the Tuner found, if there is one.
          run_fn: The dotted path of the function that trains.
          train_args: The training splits.
          eval_args: The evaluation splits.
          custom_config: What `run_fn` gets beside the artifacts.
        """
        super().__init__(
            spec=RankingTrainerSpec(
                examples=examples,
                raw_examples=raw_examples,
                catalog=catalog,
                transform_graph=transform_graph,
                schema=schema,
                base_model=base_model,
                hyperparameters=hyperparameters,
                run_fn=run_fn,
                train_args=train_args,
                eval_args=eval_args,
                custom_config=json_utils.dumps(custom_config),
                model=types.Channel(type=standard_artifacts.Model),
                model_run=types.Channel(type=standard_artifacts.ModelRun),
            )
        )
