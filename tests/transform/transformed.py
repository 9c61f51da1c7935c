"""Runs Transform's analysis, as the pipeline's executor does, on hand-made rows."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import schema_utils

from components.transform_executor.analysis import AnalysisCache, analyze
from components.transform_executor.output import write_transform_graph
from components.transform_executor.traced_graph import traced, type_specs
from transform.config.component_configs import for_transform
from transform.config.config import Config
from transform.preprocessing import CONFIG_KEY, preprocessing_fn
from transform.schema import raw_schema

Row = dict[str, list[Any]]


def select_parsing(config: Config) -> dict[str, Any]:
    """How the raw examples of a config are parsed, by feature."""
    parsing: dict[str, Any] = schema_utils.schema_as_feature_spec(raw_schema(config)).feature_spec
    return parsing


def write_rows(config: Config, rows: Sequence[Row], path: Path) -> str:
    """Writes rows as a TFRecord file of raw examples, with gzip; returns its path. A row may lack optional features."""
    parsing = select_parsing(config)
    encode = tft.coders.ExampleProtoCoder(raw_schema(config)).encode
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for row in rows:
            writer.write(encode({name: row.get(name, []) for name in parsing}))
    return str(path)


def learn(config: Config, files: Sequence[str], folder: Path) -> tft.TFTransformOutput:
    """Computes the analyzers from files of raw examples, and writes the transform graph into `folder`."""
    function = functools.partial(preprocessing_fn, custom_config={CONFIG_KEY: for_transform(config).to_json()})
    parsing, scratch = select_parsing(config), str(folder / "scratch")
    (folder / "scratch").mkdir(parents=True)
    specs = type_specs(parsing)
    graph = traced(function, specs, scratch)
    results = analyze(graph, parsing, {"train": files}, AnalysisCache(str(folder / "cache"), None), scratch)
    return write_transform_graph(function, specs, graph, results, raw_schema(config), str(folder / "graph"), scratch)


class Transformed:
    """Learns from training rows, and transforms any rows."""

    def __init__(self, config: Config, rows: list[Row], folder: Path):
        self._feature_spec = select_parsing(config)
        self.output = learn(config, [write_rows(config, rows, folder / "rows.gz")], folder)
        self._layer = self.output.transform_features_layer()
        self.columns = self.apply([{name: [] for name in self._feature_spec} | row for row in rows])

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
