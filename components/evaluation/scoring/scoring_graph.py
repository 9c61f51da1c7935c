"""The part of a SavedModel that scores: its `serving_default`, in a session of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2  # TensorFlow 2.21.0 has no public name for it

from transform.signature_names import EXAMPLES_INPUT, SCORES_OUTPUT, SERVING_SIGNATURE

#: The operation that initializes a SavedModel at its load. TensorFlow 2.21.0 lists it among the signatures.
_INIT_SIGNATURE = "__saved_model_init_op"


class ScoringGraph:
    """A SavedModel's `serving_default`, with the operations that restore the model's variables and fill its tables.

    `tf.saved_model.load` makes Python objects of all operations of all signatures: with the app store's model, 3.5 s of
    processor time, in place of 0.8 s. A session plans the operations as a model server's does, so scores may differ by
    rounding, by a few millionths of their size; with the app store's model they are the same, bit by bit.

    Args:
      folder: The SavedModel's folder, on any filesystem that TensorFlow supports.

    Raises:
      LookupError: If there is no `serving_default`, it lacks the input or the output, or the graph lacks an operation.
      google.protobuf.message.DecodeError, ValueError, tf.errors.OpError: If the model cannot be loaded.
    """

    def __init__(self, folder: str):
        with tf.io.gfile.GFile(os.path.join(folder, tf.saved_model.SAVED_MODEL_FILENAME_PB), "rb") as file:
            (meta_graph,) = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
        signatures, saver = meta_graph.signature_def, meta_graph.saver_def
        signature = _named(signatures, SERVING_SIGNATURE)
        examples, scores = _named(signature.inputs, EXAMPLES_INPUT).name, _named(signature.outputs, SCORES_OUTPUT).name
        initial = _named(_named(signatures, _INIT_SIGNATURE).outputs, _INIT_SIGNATURE).name
        assets = {
            asset.tensor_info.name: os.path.join(folder, tf.saved_model.ASSETS_DIRECTORY, asset.filename)
            for asset in meta_graph.asset_file_def
        }
        needed = (examples, scores, initial, saver.filename_tensor_name, saver.restore_op_name, *assets)
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(_part(meta_graph.graph_def, needed), name="")
        self._session = tf.compat.v1.Session(graph=graph)
        variables = os.path.join(folder, tf.saved_model.VARIABLES_DIRECTORY, tf.saved_model.VARIABLES_FILENAME)
        self._session.run(saver.restore_op_name, {saver.filename_tensor_name: variables})
        self._session.run(_operation(initial), assets)
        self._examples, self._scores = examples, scores

    def __call__(self, examples: np.ndarray) -> np.ndarray:
        """Returns the scores of serialized raw tf.Examples, bytes `[rows]`: float32 `[rows]`."""
        scores: np.ndarray = self._session.run(self._scores, {self._examples: examples})
        return scores


def _named(entries: Any, name: str) -> Any:
    """An entry of a message's map, which itself would add one for a missing name."""
    if name not in entries:
        raise LookupError(f"{name!r} is not among {sorted(entries)}")
    return entries[name]


def _operation(tensor: str) -> str:
    return tensor.partition(":")[0]


def _part(whole: Any, tensors: Iterable[str]) -> Any:
    """The part of a GraphDef that computes some tensors, with the functions that it calls and no other."""
    functions = {function.signature.name: function for function in whole.library.function}
    operations = {_operation(tensor) for tensor in tensors}
    if missing := operations - {node.name for node in whole.node}:
        raise LookupError(f"the graph has no operation {min(missing)!r}")
    part = tf.compat.v1.graph_util.extract_sub_graph(whole, sorted(operations))
    del part.library.function[:]
    left, taken = list(_called(part.node)), set()
    while left:
        name = left.pop()
        if name in functions and name not in taken:
            taken.add(name)
            part.library.function.append(functions[name])
            left += _called(functions[name].node_def)
    return part


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    """The names of the functions that some operations call."""
    for node in nodes:
        for attribute in node.attr.values():
            if attribute.HasField("func"):
                yield attribute.func.name
            yield from (function.name for function in attribute.list.func)
