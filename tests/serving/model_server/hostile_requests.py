"""Requests that no well-behaved client sends, and the expected answers: a code, and a part of the error message.

A gRPC request is a method and a serialized message or other bytes; a REST request is a method, a path and a body.
"""

from __future__ import annotations

import random
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

#: The same as in `tiny_models`. A benchmark that sends these requests does not import that module.
MODEL = "half_plus_three"
REGRESS = "tensorflow/serving/regress"
PREDICTION = "/tensorflow.serving.PredictionService/"

Code = grpc.StatusCode
INVALID, MISSING, REFUSED = Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION


def _predict(name: str = MODEL, signature: str = "", inputs: dict[str, Any] | None = None, **spec: Any) -> bytes:
    request = predict_pb2.PredictRequest(model_spec={"name": name, "signature_name": signature, **spec})
    for key, value in ({"x": np.array([1.0], np.float32)} if inputs is None else inputs).items():
        proto = value if isinstance(value, tf.make_tensor_proto(0).__class__) else tf.make_tensor_proto(value)
        request.inputs[key].CopyFrom(proto)
    return bytes(request.SerializeToString())


def _tensor(dtype: int, *sizes: int, **values: Any) -> Any:
    proto = tf.make_tensor_proto(0).__class__(dtype=dtype, **values)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


def _tasks(number: int) -> bytes:
    """A request of tasks that each name a different signature."""
    request = inference_pb2.MultiInferenceRequest()
    for i in range(number):
        request.tasks.add().model_spec.CopyFrom(model_pb2.ModelSpec(name=MODEL, signature_name=str(i)))
    return bytes(request.SerializeToString())


def _examples(number: int, context: bytes = b"") -> bytes:
    """A request of empty examples, with a context if `context` is not empty."""
    request = regression_pb2.RegressionRequest(model_spec={"name": MODEL, "signature_name": REGRESS})
    examples = request.input.example_list_with_context if context else request.input.example_list
    if context:
        examples.context.features.feature["c"].bytes_list.value.append(context)
    for _ in range(number):
        examples.examples.add()
    return bytes(request.SerializeToString())


def _inputs(number: int) -> bytes:
    request = predict_pb2.PredictRequest(model_spec={"name": MODEL})
    for i in range(number):
        request.inputs[str(i)].dtype = _FLOAT
    return bytes(request.SerializeToString())


def _filtered(*names: str) -> bytes:
    request = predict_pb2.PredictRequest.FromString(_predict())
    request.output_filter.extend(names)
    return bytes(request.SerializeToString())


def _nested(number: int, value: bytes) -> bytes:
    """Serializes a message or string field directly, since protobuf would build it in memory first."""
    size, length = len(value), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def _with_tensor(serialized: bytes) -> bytes:
    """A PredictRequest whose input `x` is a serialized TensorProto."""
    entry = _nested(1, b"x") + _nested(2, b"\x08\x01" + serialized)
    return bytes(predict_pb2.PredictRequest(model_spec={"name": MODEL}).SerializeToString()) + _nested(2, entry)


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())


_FLOAT, _STRING, _RESOURCE = 1, 7, 20
_UNKNOWN_RANK = _tensor(_FLOAT)
_UNKNOWN_RANK.tensor_shape.unknown_rank = True
_RANDOM = random.Random(1)

#: A field that no Input, list or shape has: number 15, a varint.
_UNKNOWN = b"\x78\x00"

_EXAMPLES = "a RegressionRequest must have at most 10000 examples. Received: more"

#: By name, the method, the message, the code, and a part of the error message.
GRPC: dict[str, tuple[str, bytes, grpc.StatusCode, str]] = {
    "nothing": ("Predict", b"", INVALID, "Missing ModelSpec"),
    "no name": ("Predict", _predict(""), INVALID, "ModelSpec has no name specified."),
    "unknown model": ("Predict", _predict("no"), MISSING, "Servable not found for request: Latest(no)"),
    "unknown version": ("Predict", _predict(version={"value": 7}), MISSING, f"Specific({MODEL}, 7)"),
    "negative version": ("Predict", _predict(version={"value": -1}), MISSING, f"Specific({MODEL}, -1)"),
    "unknown label": ("Predict", _predict(version_label="x"), INVALID, "Unrecognized servable version label: x"),
    "unknown signature": ("Predict", _predict(signature="x"), REFUSED, 'Serving signature key "x" not found.'),
    "the graph's initialization": ("Predict", _predict(signature="__saved_model_init_op"), REFUSED, "not found."),
    "a path as a name": ("Predict", _predict("../../etc/passwd"), MISSING, "Latest(../../etc/passwd)"),
    "a zero byte in a name": ("Predict", _predict("a\0b"), MISSING, "Latest(a\0b)"),
    "a name of a megabyte": ("Predict", _predict("n" * 1_000_000), MISSING, "Latest(nnnn"),
    "missing input": ("Predict", _predict(inputs={}), INVALID, "Missing but required: {x}."),
    "extra input": ("Predict", _predict(inputs={"x": [1.0], "z": [1.0]}), INVALID, "Sent extra: {z}."),
    "wrong dtype": ("Predict", _predict(inputs={"x": [1]}), INVALID, "to be float but int32 is provided"),
    "a string for a number": ("Predict", _predict(inputs={"x": ["a"]}), INVALID, "to be float but string is provided"),
    "unknown rank": ("Predict", _predict(inputs={"x": _UNKNOWN_RANK}), INVALID, "must be of known shape"),
    "negative size": ("Predict", _predict(inputs={"x": _tensor(_FLOAT, -1)}), INVALID, "must be of known shape"),
    "a tensor of 4 TB": (
        "Predict",
        _predict(inputs={"x": _tensor(_FLOAT, 10**12, float_val=[1.0])}),
        INVALID,
        "must have at most 8388608 bytes. Received: 4000000000000",
    ),
    "a size past 64 bits": (
        "Predict",
        _predict(signature="pairs", inputs={"pair": _tensor(_FLOAT, 2**62, 1, 2, float_val=[1.0])}),
        INVALID,
        "must have at most 8388608 bytes",
    ),
    "an empty tensor of two sizes past 64 bits": (
        "Predict",
        _predict(signature=REGRESS, inputs={"inputs": _tensor(_STRING, 2**62, 2**62, 0)}),
        INVALID,
        "must have at most 10000 elements, such as candidates. Received: more than 9223372036854775807",
    ),
    "a number of elements of 4,800 digits": (
        "Predict",
        _predict(inputs={"x": _tensor(_FLOAT, *[2**63 - 1] * 254)}),
        INVALID,
        "must have at most 8388608 bytes. Received: more than 9223372036854775807",
    ),
    "255 dimensions": (
        "Predict",
        _predict(inputs={"x": _tensor(_FLOAT, *[1] * 255, float_val=[1.0])}),
        INVALID,
        "input x must have at most 254 dimensions. Received: 255",
    ),
    "100,000 candidates": (
        "Predict",
        _predict(signature="images", inputs={"image_bytes": ["app"] * 100_000}),
        INVALID,
        "must have at most 10000 elements, such as candidates",
    ),
    "2,000,000 dimensions": (
        "Predict",
        _with_tensor(_nested(2, b"\x12\x00" * 2_000_000)),
        INVALID,
        "must have at most 254 dimensions in an input. Received: more",
    ),
    "2,000,000 shapes": (
        "Predict",
        _with_tensor(b"\x12\x00" * 2_000_000),
        INVALID,
        "must have at most 30000 parts in its inputs beside strings, such as sizes. Received: more",
    ),
    "2,000,000 handles": (
        "Predict",
        _with_tensor(b"\x72\x00" * 2_000_000),
        INVALID,
        "a PredictRequest must have no handles or variants in its inputs. Received: one",
    ),
    "2,000,000 tensors in a variant": (
        "Predict",
        _with_tensor(_nested(15, b"\x1a\x00" * 2_000_000)),
        INVALID,
        "a PredictRequest must have no handles or variants in its inputs. Received: one",
    ),
    "2,000,000 empty strings": (
        "Predict",
        _with_tensor(b"\x42\x00" * 2_000_000),
        INVALID,
        "must have at most 10000 elements",
    ),
    "2,000,000 parts without a meaning in a shape": (
        "Predict",
        _with_tensor(_nested(2, _UNKNOWN * 2_000_000)),
        INVALID,
        "must have at most 30000 parts in its inputs beside strings",
    ),
    "2,700,000 parts without a meaning in 270 tensors": (
        "Predict",
        _nested(2, _nested(2, b"\x98\x01\x00" * 10_000)) * 270,
        INVALID,
        "must have at most 30000 parts in its inputs beside strings",
    ),
    "270,000 empty strings, each with a size of two bytes": (
        "Predict",
        _nested(2, _nested(2, b"\x42\x80\x00" * 10_000)) * 27,
        INVALID,
        "must have at most 30000 parts in its inputs beside strings",
    ),
    "more values than elements": (
        "Predict",
        _predict(inputs={"x": _tensor(_FLOAT, 2, float_val=[1.0] * 5)}),
        INVALID,
        "must have as many values, or one. Received: 5",
    ),
    "no values": ("Predict", _predict(inputs={"x": _tensor(_FLOAT, 2)}), INVALID, "or one. Received: 0"),
    "too few bytes": (
        "Predict",
        _predict(inputs={"x": _tensor(_FLOAT, 2, tensor_content=b"123")}),
        INVALID,
        "must have 8 bytes. Received: 3",
    ),
    "strings as bytes": (
        "Predict",
        _predict(signature="images", inputs={"image_bytes": _tensor(_STRING, 1, tensor_content=b"\xff" * 24)}),
        INVALID,
        "a string tensor's values must be in `string_val`",
    ),
    "a handle": ("Predict", _predict(inputs={"x": _tensor(_RESOURCE, 1)}), INVALID, "but resource is provided"),
    "no such dtype": ("Predict", _predict(inputs={"x": _tensor(9999, 1)}), INVALID, "but 9999 is provided"),
    "unknown output": ("Predict", _filtered("z"), INVALID, "output tensor alias not found in signature: z"),
    "an output twice": ("Predict", _filtered("y", "y"), INVALID, "duplicate output tensor alias: y"),
    "a truncated message": ("Predict", _predict()[:-3], Code.INTERNAL, "a request must be a serialized Predict"),
    "random bytes": (
        "Predict",
        _RANDOM.randbytes(1000),
        Code.INTERNAL,
        "a request must be a serialized PredictRequest",
    ),
    "a message too large": (
        "Predict",
        _predict(signature="images", inputs={"image_bytes": [b"x" * (9 << 20)]}),
        Code.RESOURCE_EXHAUSTED,
        "message larger than max",
    ),
    "no such method": ("Rank", b"", Code.UNIMPLEMENTED, "Method not found!"),
    "no examples": (
        "Regress",
        _bytes(regression_pb2.RegressionRequest(model_spec={"name": MODEL, "signature_name": REGRESS})),
        INVALID,
        "Input is empty.",
    ),
    "classify by a regression": (
        "Classify",
        _bytes(classification_pb2.ClassificationRequest(model_spec={"name": MODEL, "signature_name": REGRESS})),
        INVALID,
        "Expected classification signature outputs to contain at least one of",
    ),
    "an example that is none": (
        "Predict",
        _predict(signature=REGRESS, inputs={"inputs": [b"\xff\xff\xff"]}),
        INVALID,
        "Could not parse example input",
    ),
    "no tasks": ("MultiInference", b"", INVALID, "Inference request must have at least one task."),
    "unknown metadata": (
        "GetModelMetadata",
        _bytes(get_model_metadata_pb2.GetModelMetadataRequest(model_spec={"name": MODEL}, metadata_field=["x"])),
        INVALID,
        "Metadata field x is not supported",
    ),
    "a task twice": (
        "MultiInference",
        _bytes(
            inference_pb2.MultiInferenceRequest(tasks=[inference_pb2.InferenceTask(model_spec={"name": MODEL})] * 2)
        ),
        INVALID,
        "Duplicate evaluation of signature: serving_default",
    ),
    "ten thousand tasks": (
        "MultiInference",
        _tasks(10_000),
        INVALID,
        "a MultiInferenceRequest must have at most 1000 parts",
    ),
    "50,000 inputs": ("Predict", _inputs(50_000), INVALID, "a PredictRequest must have at most 1000 parts"),
    "a million examples": (
        "Regress",
        _examples(1_000_000),
        INVALID,
        "a RegressionRequest must have at most 10000 examples",
    ),
    "40 lists of 10,000 examples": ("Regress", _nested(2, _nested(1, b"\x0a\x00" * 10_000) * 40), INVALID, _EXAMPLES),
    "40 inputs of 10,000 examples": (
        "Regress",
        _nested(2, _nested(1, b"\x0a\x00" * 10_000)) * 40,
        INVALID,
        _EXAMPLES,
    ),
    "100,000 examples behind parts without a meaning": (
        "Classify",
        _nested(2, _UNKNOWN * 1000 + _nested(1, b"\x0a\x00" * 100_000)),
        INVALID,
        "a ClassificationRequest must have at most 1000 parts beside its examples. Received: more",
    ),
    "4,000,000 parts without a meaning in a list": (
        "MultiInference",
        _nested(2, _nested(1, _UNKNOWN * 4_000_000)),
        INVALID,
        "a MultiInferenceRequest must have at most 1000 parts beside its examples. Received: more",
    ),
    "a context of a megabyte, 10,000 times": (
        "Regress",
        _examples(10_000, b"x" * 1_000_000),
        INVALID,
        "must be at most 67108864, since it is copied for each. Received: 10000",  # followed by a few more bytes
    ),
    "a configuration out of its folder": (
        "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
        _bytes(
            model_management_pb2.ReloadConfigRequest(
                config={"model_config_list": {"config": [{"name": "a", "base_path": "../x"}]}}
            )
        ),
        INVALID,
        "to have an absolute path; got base_path()=../x",
    ),
    "no such service": ("/no.such.Service/Predict", b"", Code.UNIMPLEMENTED, "Method not found!"),
}

_PREDICT = f"/v1/models/{MODEL}:predict"

#: By name, the method, the path, the body, the HTTP status, and a part of the error message.
REST: dict[str, tuple[str, str, bytes, int, str]] = {
    "no body": ("POST", _PREDICT, b"", 400, "JSON Parse error: The document is empty"),
    "truncated JSON": ("POST", _PREDICT, b'{"instances": [1', 400, "JSON Parse error: "),
    "not UTF-8": ("POST", _PREDICT, b'{"instances": ["\xff"]}', 400, "JSON Parse error: "),
    "random bytes as JSON": ("POST", _PREDICT, _RANDOM.randbytes(1000), 400, "JSON Parse error: "),
    "a list": ("POST", _PREDICT, b"[]", 400, "Is not object"),
    "100,000 lists in each other": ("POST", _PREDICT, b'{"inputs": ' + b"[" * 100_000, 400, "JSON Parse error: "),
    "a number of 5,000 digits": ("POST", _PREDICT, b'{"instances": [' + b"9" * 5000 + b"]}", 400, "JSON Parse error: "),
    "100,000 rows": (
        "POST",
        _PREDICT,
        b'{"signature_name": "images", "instances": [' + b'"a",' * 99_999 + b'"a"]}',
        400,
        "must have at most 10000 elements",
    ),
    "a million examples": (
        "POST",
        f"/v1/models/{MODEL}:regress",
        b'{"examples": [' + b"{}," * 999_999 + b"{}]}",
        400,
        "must have at most 10000 elements",
    ),
    "a body too large": ("POST", _PREDICT, b" " * (9 << 20), 429, "a request's body must have at most 8388608 bytes"),
    "100,000 columns": (
        "POST",
        _PREDICT,
        b'{"signature_name": "images", "inputs": [[[' + b'"a",' * 99_999 + b'"a"]]]}',
        400,
        "must have at most 10000 elements",
    ),
    "255 lists in each other": (
        "POST",
        _PREDICT,
        b'{"inputs": ' + b"[" * 255 + b"1" + b"]" * 255 + b"}",
        400,
        "input x must have at most 254 dimensions. Received: 255",
    ),
    "an example of a million numbers": (
        "POST",
        f"/v1/models/{MODEL}:regress",
        b'{"examples": [{"x": [' + b"1," * 999_999 + b'"a"]}]}',
        400,
        "Unexpected element type in feature: x expecting type: int64",
    ),
    "ragged rows": (
        "POST",
        _PREDICT,
        b'{"signature_name": "pairs", "instances": [[[1, 2]], [[1]]]}',
        400,
        "Expecting tensor size: 2 but got: 1",
    ),
    "no base64": ("POST", _PREDICT, b'{"signature_name": "images", "instances": [{"b64": "?"}]}', 400, "base64"),
    "half a character": ("POST", _PREDICT, b'{"signature_name": "images", "instances": ["\\ud800"]}', 400, "text"),
    "a path that climbs": ("POST", "/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd:predict", b"{}", 404, "../../etc/passwd"),
    "a path of dots": ("GET", "/v1/models/%2e%2e", b"", 404, "Could not find any versions of model .."),
    "a zero byte in a path": ("GET", "/v1/models/a%00b", b"", 404, "Could not find any versions of model a\0b"),
    "a path that is no text": ("GET", "/v1/models/%ff", b"", 400, "Failed to decode model name"),
    "a version past 64 bits": ("POST", f"/v1/models/m/versions/{10**30}:predict", b"{}", 400, "to numeric."),
    "a version of 2,000 digits": ("GET", f"/v1/models/m/versions/{'9' * 2000}", b"", 400, "to numeric."),
    "no such verb": ("POST", f"/v1/models/{MODEL}:delete", b"{}", 400, "Malformed request"),
    "no such page": ("GET", "/admin", b"", 404, "there is no GET /admin"),
    "no such method": ("DELETE", f"/v1/models/{MODEL}", b"", 405, "there is no DELETE"),
}
