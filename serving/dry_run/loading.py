"""Loads a SavedModel, and reports why it cannot be loaded."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2  # TensorFlow 2.21.0 has no public name for it

GRAPH_FILE = "saved_model.pb"
VARIABLES = os.path.join("variables", "variables")


class ModelError(Exception):
    """A model that is not fit to serve; the message is one sentence."""


def load(path: str) -> Any:
    """Loads the SavedModel in a folder by `tf.saved_model.load`.

    Raises:
      ModelError: If a file is missing, truncated or damaged, or the model does not load for another reason.
    """
    _check_assets(path, _read_graph(path))
    try:
        return tf.saved_model.load(path)
    except Exception as error:  # whatever it is, the model cannot serve, and the parent process needs the reason
        if unreadable := _unreadable_variables(path):
            raise ModelError(f"the model's variables must be readable. Received: {unreadable}") from error
        raise ModelError(f"the model must load. Received: {in_a_line(error)}") from error


def _read_graph(path: str) -> saved_model_pb2.SavedModel:
    file = os.path.join(path, GRAPH_FILE)
    if not tf.io.gfile.exists(file):
        raise ModelError(f"the model must be a SavedModel with a {GRAPH_FILE}. There is none in {path}")
    try:
        with tf.io.gfile.GFile(file, "rb") as graph:
            return saved_model_pb2.SavedModel.FromString(graph.read())
    except DecodeError as error:
        raise ModelError(f"the model's {GRAPH_FILE} must be readable. Received: {in_a_line(error)}") from error


def _check_assets(path: str, graph: saved_model_pb2.SavedModel) -> None:
    names = {asset.filename for meta_graph in graph.meta_graphs for asset in meta_graph.asset_file_def}
    missing = sorted(name for name in names if not tf.io.gfile.exists(os.path.join(path, "assets", name)))
    if missing:
        raise ModelError(f"the model must have all of its {len(names)} assets. Missing: {', '.join(missing)}")


def _unreadable_variables(path: str) -> str:
    """The reason why the variables' files cannot be read; empty if they can."""
    try:
        reader = tf.train.load_checkpoint(os.path.join(path, VARIABLES))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception as error:  # OpError, RuntimeError or ValueError, depending on where in C++ it fails
        return in_a_line(error)
    return ""


def in_a_line(error: BaseException) -> str:
    """An error's type and the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
