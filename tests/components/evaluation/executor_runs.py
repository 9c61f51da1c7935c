"""Runs an Evaluator's executor on rows whose features are the scores of two models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import json_format, text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.evaluation.executor import ColumnExecutor
from components.evaluation.metrics_files import read_measured
from components.evaluation.results import EvaluationResult
from pipeline.beam_options import LOCAL_BEAM_ARGS
from tests.components.evaluation import stock_metrics

#: The features that every row has once, and those that a row may have several times or not.
ALWAYS = {"request_id": "BYTES", "label": "INT", "weight": "FLOAT", "candidate": "FLOAT", "baseline": "FLOAT"}
SOMETIMES = {"user_id": "BYTES", "country": "BYTES", "category": "BYTES", "tags": "BYTES", "age_days": "FLOAT"}

SCHEMA = "".join(
    f'feature {{ name: "{name}" type: {kind} presence {{ min_fraction: 1 }} shape {{ dim {{ size: 1 }} }} }}\n'
    for name, kind in ALWAYS.items()
) + "".join(f'feature {{ name: "{name}" type: {kind} }}\n' for name, kind in SOMETIMES.items())

Row = Mapping[str, Any]


class _Reader(tf.Module):  # type: ignore[misc]
    """A model whose score is a feature."""

    def __init__(self, feature: str):
        super().__init__()
        self._feature = feature
        self.one = tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        kinds = {self._feature: tf.io.FixedLenFeature([], tf.float32)}
        return {"scores": tf.io.parse_example(examples, kinds)[self._feature] * self.one}


def example(row: Row) -> bytes:
    """Returns a row as a serialized tf.Example; a value may be a list."""
    found = tf.train.Example()
    for name, value in row.items():
        feature = found.features.feature[name]
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str):
                feature.bytes_list.value.append(one.encode())
            elif isinstance(one, int):
                feature.int64_list.value.append(one)
            else:
                feature.float_list.value.append(one)
    serialized: bytes = found.SerializeToString(deterministic=True)
    return serialized


def evaluation_in(folder: Path) -> Any:
    """Returns the artifact of an evaluation that `Inputs.evaluate` has written."""
    artifact = standard_artifacts.ModelEvaluation()
    artifact.uri = str(folder)
    return artifact


class Inputs:
    """The artifacts of an Evaluator, in a folder.

    Args:
      folder: The folder.
      rows: The rows of the split `eval`.
      models: `candidate`, or that and `baseline`: the features that are the models' scores.
    """

    def __init__(self, folder: Path, rows: Sequence[Row], models: Sequence[str] = ("candidate", "baseline")):
        self._folder = folder
        examples = self._artifact(standard_artifacts.Examples, "examples")
        examples.split_names = artifact_utils.encode_split_names(["eval"])
        split = folder / "examples" / "Split-eval"
        split.mkdir()
        half = len(rows) // 2
        for number, some in enumerate((rows[:half], rows[half:])):
            path = str(split / f"data_tfrecord-{number:05d}-of-00002.gz")
            with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
                for row in some:
                    writer.write(example(row))
        schema = self._artifact(standard_artifacts.Schema, "schema")
        (folder / "schema" / "schema.pbtxt").write_text(
            text_format.MessageToString(text_format.Parse(SCHEMA, schema_pb2.Schema()))
        )
        self.artifacts = {"examples": [examples], "schema": [schema]}
        for name in models:
            self.artifacts["model" if name == "candidate" else "baseline_model"] = [self.model(name)]

    def model(self, feature: str) -> Any:
        """Exports a model whose score is a feature; it cannot score rows in which that is a text."""
        model = self._artifact(standard_artifacts.Model, feature)
        reader = _Reader(feature)
        tf.saved_model.save(reader, f"{model.uri}/Format-Serving", signatures={"serving_default": reader.score})
        return model

    def _artifact(self, kind: type, name: str) -> Any:
        artifact = kind()
        (self._folder / name).mkdir()
        artifact.uri = str(self._folder / name)
        return artifact

    def evaluate(
        self,
        executor: Any,
        eval_config: config_pb2.EvalConfig,
        output: str,
        beam_args: Sequence[str] = LOCAL_BEAM_ARGS,
    ) -> Path:
        """Runs an executor, and returns the folder with its results."""
        evaluation = self._artifact(standard_artifacts.ModelEvaluation, output)
        blessing = self._artifact(standard_artifacts.ModelBlessing, f"{output}_blessing")
        context = executor.Context(beam_pipeline_args=list(beam_args), tmp_dir=str(self._folder), unique_id="1")
        executor(context).Do(
            self.artifacts,
            {"evaluation": [evaluation], "blessing": [blessing]},
            {
                "eval_config": json_format.MessageToJson(eval_config, preserving_proto_field_name=True),
                "example_splits": json.dumps(["eval"]),
                "module_path": stock_metrics.__name__,
            },
        )
        return Path(evaluation.uri)


def measured(
    rows: Sequence[Row],
    eval_config: config_pb2.EvalConfig,
    folder: Path,
    models: Sequence[str] = ("candidate", "baseline"),
) -> dict[str, EvaluationResult]:
    """Runs the project's executor on rows, in a folder; returns the results by slice."""
    folder.mkdir(exist_ok=True)
    return read_measured(str(Inputs(folder, rows, models).evaluate(ColumnExecutor, eval_config, "evaluation")))
