"""The nodes that make a candidate model."""

from __future__ import annotations

from typing import Any, NamedTuple

from tfx.components import Tuner
from tfx.dsl.components.base.base_node import BaseNode
from tfx.proto import trainer_pb2, transform_pb2
from tfx.types import Channel

from components.fingerprint import code_fingerprint
from components.model_store.served_models import TRAINER
from components.stateful_transform import StatefulTransform
from components.trainer_component import RankingTrainer
from pipeline.nodes.data import DataNodes
from pipeline.nodes.names import PREPROCESSING_FN, RUN_FN, TRANSFORM, TUNER, TUNER_FN
from pipeline.nodes.settings import NodeSettings
from pipeline.nodes.window import Window
from trainer.training.checkpoints import CHECKPOINT_ROOT_KEY
from transform.files.reference_scores import USER_KEY
from transform.preprocessing import CODE_KEY, CONFIG_KEY


class TrainingNodes(NamedTuple):
    """The nodes that make a candidate model."""

    nodes: list[BaseNode]
    model: Channel


def training(settings: NodeSettings, data: DataNodes, window: Window) -> TrainingNodes:
    """Returns Transform, the search of settings if there is one, and the trainer."""
    transform = StatefulTransform(
        examples=window.span_window.outputs["examples"],
        schema=data.schema,
        preprocessing_fn=PREPROCESSING_FN,
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval"]),
        analyzer_cache=window.analyzer_cache.outputs["candidates"],
        memory=window.vocabulary_memory.outputs["candidates"],
        custom_config={CONFIG_KEY: settings.transform, CODE_KEY: code_fingerprint(StatefulTransform, PREPROCESSING_FN)},
    ).with_id(TRANSFORM)
    transform.add_upstream_nodes(data.gates)
    to_train: dict[str, Any] = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "schema": data.schema,
        "base_model": data.pushed_model,
        "train_args": trainer_pb2.TrainArgs(splits=["train"]),
        "eval_args": trainer_pb2.EvalArgs(splits=["eval"]),
    }
    checkpoints = {CHECKPOINT_ROOT_KEY: settings.checkpoint_root}
    tuners = []
    if settings.tuner is not None:
        custom_config = {CONFIG_KEY: settings.tuner, **checkpoints, "code_fingerprint": code_fingerprint(TUNER_FN)}
        tuners = [Tuner(tuner_fn=TUNER_FN, custom_config=custom_config, **to_train).with_id(TUNER)]
    trainer = RankingTrainer(
        raw_examples=data.examples,
        catalog=data.catalog,
        run_fn=RUN_FN,
        custom_config={
            CONFIG_KEY: settings.trainer,
            USER_KEY: settings.quality.user,
            **checkpoints,
            "code_fingerprint": code_fingerprint(RankingTrainer, RUN_FN),
        },
        hyperparameters=tuners[0].outputs["best_hyperparameters"] if tuners else None,
        **to_train,
    ).with_id(TRAINER)
    return TrainingNodes([transform, *tuners, trainer], trainer.outputs["model"])
