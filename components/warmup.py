"""Warm-up records: requests that TF Serving answers for itself before a version takes traffic.

Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup: a TFRecord file of `PredictionLog`s.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from components.versions import EXTRA_ASSETS

SIGNATURE = "serving_default"

#: Below a version's extra assets; the name is TF Serving's.
WARMUP_FILE = "tf_serving_warmup_requests"

#: How many candidates the requests have: as the paper's servers sent them, table 2.
BATCH_SIZES = (200, 100, 50)


def write_warmup(version_path: str, model_name: str, requests: Sequence[bytes]) -> None:
    """Writes a version's warm-up records.

    Args:
      version_path: The version, with its `saved_model.pb`.
      model_name: The name that the model is served by.
      requests: Serialized raw tf.Examples, at least one; the largest record takes 200 of them.
    """
    folder = os.path.join(version_path, EXTRA_ASSETS)
    tf.io.gfile.makedirs(folder)
    input_name = _input_name(version_path)
    with tf.io.TFRecordWriter(os.path.join(folder, WARMUP_FILE)) as writer:
        for size in sorted({min(size, len(requests)) for size in BATCH_SIZES}, reverse=True):
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = model_name
            request.model_spec.signature_name = SIGNATURE
            request.inputs[input_name].CopyFrom(tf.make_tensor_proto(requests[:size], shape=[size]))
            writer.write(log.SerializeToString())


def _input_name(version_path: str) -> str:
    """The name of the serving signature's only input."""
    with tf.io.gfile.GFile(os.path.join(version_path, "saved_model.pb"), "rb") as file:
        model = saved_model_pb2.SavedModel.FromString(file.read())
    (name,) = model.meta_graphs[0].signature_def[SIGNATURE].inputs
    return str(name)
