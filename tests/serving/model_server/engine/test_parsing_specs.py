"""Tests of finding the features that a graph parses as floats, for each of TensorFlow's parsing operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.engine.parsing_specs import ParsingSpecs


def v2(examples: tf.Tensor) -> tf.Tensor:
    features = {
        "dense": tf.io.FixedLenFeature([], tf.float32, 0.0),
        "sparse": tf.io.VarLenFeature(tf.float32),
        "ragged": tf.io.RaggedFeature(tf.float32),
        "int": tf.io.FixedLenFeature([], tf.int64, 0),
        "ints": tf.io.VarLenFeature(tf.int64),
        "text": tf.io.RaggedFeature(tf.string),
    }
    return tf.io.parse_example(examples, features)["dense"]


def v1(examples: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.ParseExample(
        serialized=examples,
        names=[],
        sparse_keys=["sparse", "ints"],
        dense_keys=["int", "dense"],
        dense_defaults=[tf.constant(0, tf.int64), tf.constant(0.0)],
        sparse_types=[tf.float32, tf.int64],
        dense_shapes=[[], []],
    ).dense_values[1]


def single(examples: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.ParseSingleExample(
        serialized=examples[0],
        dense_defaults=[tf.constant(0, tf.int64), tf.constant(0.0)],
        num_sparse=2,
        sparse_keys=["ints", "sparse"],
        dense_keys=["int", "dense"],
        sparse_types=[tf.int64, tf.float32],
        dense_shapes=[[], []],
    ).dense_values[1]


@pytest.mark.parametrize(
    ("parse", "expected"),
    [(v2, {"dense", "sparse", "ragged"}), (v1, {"dense", "sparse"}), (single, {"dense", "sparse"})],
)
@pytest.mark.parametrize("within", [0, 1, 2])
def test_operations(parse: Callable[[Any], Any], expected: set[str], within: int) -> None:
    """The operation is in the graph itself, as in TensorFlow 1, or in nested functions; others are left out."""
    call = parse
    for _ in range(within):
        call = tf.function(call, autograph=False)
    with tf.Graph().as_default() as graph:
        examples = tf.compat.v1.placeholder(tf.string, [None])
        output = tf.identity(call(examples))
        other = tf.io.parse_example(examples, {"other": tf.io.FixedLenFeature([], tf.float32, 0.0)})["other"]
    specs = ParsingSpecs(meta_graph_pb2.MetaGraphDef(graph_def=graph.as_graph_def()))
    for tensor, names in ((output, expected), (other, {"other"})):
        signature = meta_graph_pb2.SignatureDef(outputs={"y": meta_graph_pb2.TensorInfo(name=tensor.name)})
        assert specs.float_features(signature) == names


def test_a_name_that_is_no_constant_and_one_that_claims_to_be_many_add_nothing() -> None:
    with tf.Graph().as_default() as graph:
        examples = tf.compat.v1.placeholder(tf.string, [None])
        key = tf.compat.v1.placeholder(tf.string, [])
        output = tf.raw_ops.ParseExample(
            serialized=examples,
            names=[],
            sparse_keys=[],
            dense_keys=[key],
            dense_defaults=[tf.constant(0.0)],
            sparse_types=[],
            dense_shapes=[[]],
        ).dense_values[0]
    definition = graph.as_graph_def()
    signature = meta_graph_pb2.SignatureDef(outputs={"y": meta_graph_pb2.TensorInfo(name=output.name)})
    assert ParsingSpecs(meta_graph_pb2.MetaGraphDef(graph_def=definition)).float_features(signature) == set()
    (node,) = [node for node in definition.node if node.op == "Placeholder" and not node.attr["shape"].shape.dim]
    node.op = "Const"
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("a", shape=[1]))
    node.attr["value"].tensor.tensor_shape.dim[0].size = 10**12
    assert ParsingSpecs(meta_graph_pb2.MetaGraphDef(graph_def=definition)).float_features(signature) == set()
