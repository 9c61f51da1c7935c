"""The Evaluator's executor, with columns in place of TFMA's extracts."""

from __future__ import annotations

import functools
import json
import os
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma
from absl import logging
from google.protobuf import json_format, text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2  # TFMA 0.52.0 lacks its documented `tfma.EvalConfig`
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components import storage
from components.artifact_types import Artifacts
from components.evaluation.column_extractor import Parser, ScoreFiles, ScoringTask
from components.evaluation.metrics_files import read_measured
from components.evaluation.plan import Plan, make_plan
from components.evaluation.ranges.measure import measure
from components.evaluation.results import BASELINE, MODEL, write_measured
from components.evaluation.scoring.kept_scores import ModelScores
from components.evaluation.scoring.scores import BATCH_SIZE, Scorer, ScoringError
from components.evaluation.tfma_output import write_results
from components.examples.file_work import do_on_files, scratch_folder
from components.examples.reading import example_batches, split_files

_DTYPES = {schema_pb2.BYTES: tf.string, schema_pb2.INT: tf.int64, schema_pb2.FLOAT: tf.float32}


class ColumnExecutor(base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]
    """Does what TFX's executor of the Evaluator does, at a fraction of its cost.

    It keeps a few numbers of each example, in place of TFMA's extracts: a file of them for each file of examples, which
    are measured together, or by ranges (`components.evaluation.ranges`). What is written is TFMA's.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Evaluates the models on the examples, and writes TFMA's results.

        A baseline that cannot score the examples, as after a feature's kind has changed, is left out, and the reason
        is recorded (`components.evaluation.results.Measured`).
        """
        has_baseline = bool(input_dict.get(BASELINE))
        evaluation = artifact_utils.get_single_uri(output_dict["evaluation"])
        plan = make_plan(_eval_config(exec_properties["eval_config"], has_baseline))
        problems = {}
        scores = _model_scores(plan, input_dict, exec_properties)
        try:
            self._evaluate(plan, scores, input_dict, evaluation, exec_properties)
        except Exception:  # Beam may wrap the error of a worker in one of any type
            baseline_scored = has_baseline and _saved_model(input_dict[BASELINE]) in scores.to_score
            problem = find_problem(input_dict[BASELINE], input_dict, exec_properties) if baseline_scored else ""
            if not problem:
                raise
            logging.warning("the baseline is not measured: %s", problem)
            problems = {BASELINE: problem}
            alone = make_plan(_eval_config(exec_properties["eval_config"], has_baseline=False))
            scores = _model_scores(alone, input_dict, exec_properties)
            self._evaluate(alone, scores, input_dict, evaluation, exec_properties)
        write_measured(evaluation, read_measured(evaluation), problems)

    def _evaluate(
        self, plan: Plan, scores: ModelScores, input_dict: Artifacts, evaluation: str, exec_properties: dict[str, Any]
    ) -> None:
        paths = _files(input_dict, exec_properties)
        parser = Parser(plan, _dtypes(artifact_utils.get_single_uri(input_dict["schema"])))
        with scratch_folder(evaluation) as scratch:
            tasks = [
                ScoringTask(path, os.path.join(scratch, f"columns-{at}"), os.path.join(scratch, f"scores-{at}"))
                for at, path in enumerate(paths)
            ]
            do_on_files(self, ScoreFiles(parser, scores.to_score), tasks)
            measured = measure(tasks, plan, scores, evaluation, scratch, functools.partial(do_on_files, self))
        write_results(measured, plan, _saved_models(plan, input_dict), evaluation)


def _model_scores(plan: Plan, input_dict: Artifacts, exec_properties: dict[str, Any]) -> ModelScores:
    saved_models, earlier = _saved_models(plan, input_dict), input_dict.get("earlier_evaluation")
    return ModelScores(
        [saved_models[name] for name in plan.model_names],
        _folders(input_dict, exec_properties),
        artifact_utils.get_single_uri(earlier) if earlier else None,
    )


def _saved_models(plan: Plan, input_dict: Artifacts) -> dict[str, str]:
    """Returns the models' SavedModels by the names that the plan gives them."""
    specs = plan.eval_config.model_specs
    return {spec.name: _saved_model(input_dict[BASELINE if spec.is_baseline else MODEL]) for spec in specs}


def _saved_model(model: list[types.Artifact]) -> str:
    return str(path_utils.serving_model_path(artifact_utils.get_single_uri(model)))


def _folders(input_dict: Artifacts, exec_properties: dict[str, Any]) -> list[str]:
    """Returns the folders of the evaluated splits."""
    splits = json.loads(exec_properties.get("example_splits") or "null") or ["eval"]
    return [uri for split in splits for uri in artifact_utils.get_split_uris(input_dict["examples"], split)]


def _files(input_dict: Artifacts, exec_properties: dict[str, Any]) -> list[str]:
    """Returns the files of the evaluated splits, in their order."""
    return [path for folder in _folders(input_dict, exec_properties) for path in split_files(folder)]


def find_problem(model: list[types.Artifact], input_dict: Artifacts, exec_properties: dict[str, Any]) -> str:
    """Returns why a model cannot score the evaluated examples, as a sentence; empty if it can."""
    files = _files(input_dict, exec_properties)
    try:
        scorer = Scorer(_saved_model(model))
        for batch in example_batches(files, BATCH_SIZE):
            scorer(batch)
    except ScoringError as error:
        return str(error)
    return ""


def _eval_config(text: str, has_baseline: bool) -> config_pb2.EvalConfig:
    """Returns the EvalConfig with its defaults, as TFX's executor does: the baseline has a model spec of its own."""
    read = json_format.Parse(text, config_pb2.EvalConfig())
    completed = tfma.utils.update_eval_config_with_defaults(read, has_baseline=has_baseline, rubber_stamp=True)
    tfma.utils.verify_eval_config(completed)
    return completed


def _dtypes(folder: str) -> dict[str, tf.DType]:
    """Reads the dtypes of the features from a Schema's folder, with its one file."""
    (name,) = storage.names(folder)
    with tf.io.gfile.GFile(os.path.join(folder, name)) as file:
        schema = text_format.Parse(file.read(), schema_pb2.Schema())
    return {feature.name: _DTYPES[feature.type] for feature in schema.feature if feature.type in _DTYPES}
