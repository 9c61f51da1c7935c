"""The Trainer component passes on what TFX's does, and the paths of the raw evaluation examples and the catalog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx.proto import trainer_pb2
from tfx.types import Channel, standard_artifacts
from tfx.utils import json_utils, proto_utils

from components.artifact_types import Catalog
from components.trainer_component import RankingTrainer, RankingTrainerExecutor
from tests.components.infra_validation.validating import examples_artifact


def remember(fn_args: Any) -> None:
    """A `run_fn` that writes its arguments to a file."""
    tf.io.gfile.makedirs(fn_args.serving_model_dir)
    given = {"custom_config": fn_args.custom_config, "train": fn_args.train_files, "eval": fn_args.eval_files}
    (Path(fn_args.serving_model_dir) / "given.json").write_text(json.dumps(given))


def test_run_fn_gets_the_raw_evaluation_files_and_the_catalog(tmp_path: Path) -> None:
    transformed = examples_artifact(tmp_path / "transformed", train=[b""], eval=[b""])
    raw = examples_artifact(tmp_path / "raw", train=[b""], eval=[b""])
    catalog = Catalog()
    catalog.uri = str(tmp_path / "catalog")
    model, model_run = standard_artifacts.Model(), standard_artifacts.ModelRun()
    model.uri, model_run.uri = str(tmp_path / "model"), str(tmp_path / "model_run")
    RankingTrainerExecutor().Do(
        {"examples": [transformed], "raw_examples": [raw], "catalog": [catalog]},
        {"model": [model], "model_run": [model_run]},
        {
            "run_fn": f"{remember.__module__}.{remember.__name__}",
            "custom_config": json_utils.dumps({"config": "{}"}),
            "train_args": proto_utils.proto_to_json(trainer_pb2.TrainArgs(splits=["train"])),
            "eval_args": proto_utils.proto_to_json(trainer_pb2.EvalArgs(splits=["eval"])),
        },
    )
    assert json.loads((tmp_path / "model" / "Format-Serving" / "given.json").read_text()) == {
        "custom_config": {
            "config": "{}",
            "raw_eval_files": [f"{tmp_path}/raw/Split-eval/*"],
            "catalog": f"{tmp_path}/catalog",
        },
        "train": [f"{tmp_path}/transformed/Split-train/*"],
        "eval": [f"{tmp_path}/transformed/Split-eval/*"],
    }


def test_a_trainer_without_hyperparameters_is_declared() -> None:
    trainer = RankingTrainer(
        examples=Channel(type=standard_artifacts.Examples),
        raw_examples=Channel(type=standard_artifacts.Examples),
        catalog=Channel(type=Catalog),
        transform_graph=Channel(type=standard_artifacts.TransformGraph),
        schema=Channel(type=standard_artifacts.Schema),
        base_model=Channel(type=standard_artifacts.Model),
        hyperparameters=None,
        run_fn="trainer.run_fn.run_fn",
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config={"config": "{}"},
    )
    assert trainer.inputs.keys() == {"examples", "raw_examples", "catalog", "transform_graph", "schema", "base_model"}
    assert trainer.outputs.keys() == {"model", "model_run"}
