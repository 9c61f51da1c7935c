"""Runs tf.Transform on hand-made rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from transform.config.config import Config
from transform.preprocessing import CONFIG_KEY, preprocessing_fn
from transform.schema import raw_schema

Row = dict[str, list[Any]]


class Transformed:
    """Learns from training rows with tf.Transform, and transforms any rows."""

    def __init__(self, config: Config, rows: list[Row], folder: Path):
        metadata = dataset_metadata.DatasetMetadata(raw_schema(config))
        self._feature_spec = schema_utils.schema_as_feature_spec(metadata.schema).feature_spec
        rows = [{name: [] for name in self._feature_spec} | row for row in rows]
        with beam.Pipeline(runner=FnApiRunner()) as pipeline, tft_beam.Context(temp_dir=str(folder / "tmp")):
            transform_fn = (pipeline | beam.Create(rows), metadata) | tft_beam.AnalyzeDataset(
                lambda inputs: preprocessing_fn(inputs, {CONFIG_KEY: config.to_json()})
            )
            _ = transform_fn | tft_beam.WriteTransformFn(str(folder / "out"))
        self.output = tft.TFTransformOutput(str(folder / "out"))
        self._layer = self.output.transform_features_layer()
        self.columns = self.apply(rows)

    def apply(self, rows: list[Row], *, with_label: bool = True) -> dict[str, list[Any]]:
        """Each row's value by transformed name; for a sparse feature, the list of its values."""
        inputs: dict[str, Any] = {}
        for name, kind in self._feature_spec.items():
            if isinstance(kind, tf.io.VarLenFeature):
                values = [value for row in rows for value in row.get(name, [])]
                lengths = [len(row.get(name, [])) for row in rows]
                inputs[name] = tf.RaggedTensor.from_row_lengths(tf.constant(values, kind.dtype), lengths).to_sparse()
            elif with_label:
                inputs[name] = tf.constant([row[name] for row in rows], kind.dtype)
        outputs: dict[str, list[Any]] = {}
        for name, tensor in self._layer(inputs).items():
            if isinstance(tensor, tf.SparseTensor):
                outputs[name] = [[] for _ in rows]
                for (row, _), value in zip(tensor.indices.numpy(), tensor.values.numpy().tolist(), strict=True):
                    outputs[name][row].append(value)
            else:
                outputs[name] = tensor.numpy().tolist()
        return outputs

    def vocabulary(self, name: str) -> list[str]:
        return [token.decode() for token in self.output.vocabulary_by_name(f"{name}_vocabulary")]
