"""Writes the transform graph, as tf.Transform 1.21.0 does it; its functions for this are not public."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import annotators, graph_tools, impl_helper
from tensorflow_transform.tf_metadata import metadata_io

from components.transform_executor.traced_graph import PreprocessingFn, TracedGraph


def write_transform_graph(
    preprocessing_fn: PreprocessingFn,
    specs: Mapping[str, tf.TypeSpec],
    traced_graph: TracedGraph,
    results: Mapping[str, tf.Tensor],
    schema: schema_pb2.Schema,
    folder: str,
    scratch: str,
) -> tft.TFTransformOutput:
    """Traces `preprocessing_fn` with its analyzers' results, and writes a TransformGraph.

    Args:
      preprocessing_fn: The function, with one argument.
      specs: The types of its inputs.
      traced_graph: The graph without results.
      results: The results, by the names of the tensors that they replace.
      schema: The raw examples' schema.
      folder: The folder of the TransformGraph.
      scratch: A folder for temporary files.
    """
    saved = os.path.join(folder, tft.TFTransformOutput.TRANSFORM_FN_DIR)
    impl_helper.trace_and_write_v2_saved_model(
        saved,
        preprocessing_fn,
        specs,
        scratch,
        graph_tools.get_analyzers_fingerprint(traced_graph.graph, traced_graph.inputs),
        dict(results),
        {},
        None,
    )
    transformed = os.path.join(folder, tft.TFTransformOutput.TRANSFORMED_METADATA_DIR)
    metadata_io.write_metadata(
        metadata_io.read_metadata(os.path.join(saved, impl_helper.METADATA_DIR_NAME)), transformed
    )
    assets = annotators.get_asset_annotations(traced_graph.graph)
    if assets:
        with tf.io.gfile.GFile(os.path.join(transformed, tft.TFTransformOutput.ASSET_MAP), "w") as file:
            file.write(json.dumps(assets))
    raw = os.path.join(folder, tft.TFTransformOutput.RAW_METADATA_DIR)
    metadata_io.write_metadata(tft.DatasetMetadata(schema), raw)
    return tft.TFTransformOutput(folder)
