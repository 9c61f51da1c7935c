"""Loads one version: verifies its files, loads them, and warms the model up before it takes traffic.

The warm-up replays the requests that were exported with the version: TensorFlow plans a signature's run at its first
request, which takes 0.7 s for the app store's model.

Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup: a TFRecord file of `PredictionLog`s.
"""

from __future__ import annotations

import os

from tensorflow_serving.apis import prediction_log_pb2

from serving.model_server.engine import examples, version_files
from serving.model_server.engine.servable import Servable
from serving.model_server.engine.signatures import DEFAULT_SIGNATURE, check_inputs, find_signature
from serving.model_server.errors import ServingError, invalid
from transform.files.tfrecords import read_records
from transform.files.version_layout import EXTRA_ASSETS, WARMUP_FILE

#: The most records, as in TF Serving.
MAX_RECORDS = 1000


def load_version(path: str, num_threads: int) -> tuple[float, Servable]:
    """Loads and warms up a version; returns when its folder last changed, in seconds since 1970, and the servable."""
    pushed_at = os.stat(path).st_mtime
    version_files.verify(path)
    try:
        servable = Servable(path, num_threads)
    except ServingError as error:
        raise ServingError(error.code, f"a version must load. Received: {error.message} ({path})") from error
    try:
        _warm_up(servable, path)
    except BaseException as error:
        servable.close()
        if isinstance(error, ServingError):
            text = f"a version must answer its warm-up requests. Received: {error.message} ({path})"
            raise ServingError(error.code, text) from error
        raise
    return pushed_at, servable


def _warm_up(model: Servable, path: str) -> None:
    """Runs a version's warm-up requests; without any, it runs nothing, since a signature may change the model's state.

    Raises:
      ServingError: If the model refuses one of them, or there are too many.
      InputError: If the file cannot be read.
    """
    file = os.path.join(path, EXTRA_ASSETS, WARMUP_FILE)
    if not os.path.exists(file):
        return
    for number, record in enumerate(read_records(file)):
        if number == MAX_RECORDS:
            raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {file}")
        _replay(model, prediction_log_pb2.PredictionLog.FromString(record))


def _replay(model: Servable, entry: prediction_log_pb2.PredictionLog) -> None:
    kind = entry.WhichOneof("log_type")
    if kind == "predict_log":
        request = entry.predict_log.request
        signature = find_signature(model.signatures, request.model_spec.signature_name)
        check_inputs(signature, request.inputs)
        model.run(signature, request.inputs)
    elif kind in ("classify_log", "regress_log", "multi_inference_log"):
        request = getattr(entry, kind).request
        tasks = request.tasks if kind == "multi_inference_log" else [request]
        for task in tasks:
            signature = model.signatures[task.model_spec.signature_name or DEFAULT_SIGNATURE]
            rows = {signature.inputs[0]: examples.to_tensor_proto(request.input)}
            model.run(signature, rows)
    else:
        raise invalid(f"Unsupported log_type for warmup: {kind}")
