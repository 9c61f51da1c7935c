"""Formats responses as REST's JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.model_server.engine.tensors import dtype_name, proto_shape, values_field
from serving.model_server.errors import ServingError, invalid
from serving.model_server.protocol.json_values import to_b64

#: The name suffix of string outputs that hold bytes; other string outputs hold text.
_BYTES_SUFFIX = "_bytes"


def predictions(response: predict_pb2.PredictResponse, by_row: bool) -> str:
    """Formats a Predict response: `predictions`, one object per row, or `outputs`, an object of columns.

    If there is only one output, its name is omitted.

    Raises:
      ServingError: If there is no output; if JSON has no form of an output's dtype; or, by row, if an output has no
        rows, or not as many as another.
    """
    outputs = response.outputs
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if not by_row:
        columns = {name: _nest(_values(name, proto), proto_shape(proto)) for name, proto in sorted(outputs.items())}
        return _object({"outputs": next(iter(columns.values())) if len(columns) == 1 else _object(columns)})
    _check_rows(outputs)
    rows = {name: _rows(_values(name, proto), proto_shape(proto)) for name, proto in sorted(outputs.items())}
    if len(rows) == 1:
        return _object({"predictions": _list(next(iter(rows.values())))})
    objects = [_object(dict(zip(rows, values, strict=True))) for values in zip(*rows.values(), strict=True)]
    return _object({"predictions": _list(objects)})


def _check_rows(outputs: Mapping[str, tensor_pb2.TensorProto]) -> None:
    num_rows = None
    for name, proto in sorted(outputs.items()):
        shape = proto_shape(proto)
        if not shape:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if num_rows not in (None, shape[0]):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {shape[0]} expecting: {num_rows}")
        num_rows = shape[0]


def _rows(values: list[str], shape: tuple[int, ...]) -> list[str]:
    width = math.prod(shape[1:])
    return [_nest(values[at * width : (at + 1) * width], shape[1:]) for at in range(shape[0])]


def _nest(values: list[str], shape: tuple[int, ...]) -> str:
    return _list(_rows(values, shape)) if shape else values[0]


def _values(name: str, proto: tensor_pb2.TensorProto) -> list[str]:
    try:
        found = getattr(proto, values_field(proto.dtype))
    except ServingError as error:
        raise invalid(f"Failed to write JSON value for tensor type: {dtype_name(proto.dtype)}") from error
    if proto.dtype == types_pb2.DT_STRING:
        if name.endswith(_BYTES_SUFFIX):
            return [json.dumps(to_b64(value)) for value in found]
        return [_text(value.decode(errors="replace")) for value in found]
    if proto.dtype in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE):
        kind = np.float32 if proto.dtype == types_pb2.DT_FLOAT else np.float64
        return [_decimal(value, kind) for value in found]
    if proto.dtype == types_pb2.DT_HALF:
        return [_decimal(float(value), np.float32) for value in np.array(found, np.uint16).view(np.float16)]
    return [json.dumps(value) for value in found]


def _decimal(value: float, kind: type[np.floating[Any]]) -> str:
    """Formats a float as TF Serving does: six digits if they are exact, else all; a whole number with `.0`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    text = f"{value:g}"
    if kind(text) != value:
        text = f"{value:.9g}" if kind is np.float32 else f"{value:.17g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _list(values: list[str]) -> str:
    return f"[{', '.join(values)}]"


def _object(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_text(name)}: {value}" for name, value in values.items()) + "}"


def classifications(result: classification_pb2.ClassificationResult) -> str:
    """Formats a Classify response: for each example, pairs of label and score.

    Raises:
      ServingError: If there are no examples.
    """
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    rows = [
        _list([_list([_text(found.label), _decimal(found.score, np.float32)]) for found in row.classes])
        for row in result.classifications
    ]
    return _object({"results": _list(rows)})


def regressions(result: regression_pb2.RegressionResult) -> str:
    """Formats a Regress response: one value per example.

    Raises:
      ServingError: If there are no examples.
    """
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return _object({"results": _list([_decimal(found.value, np.float32) for found in result.regressions])})


def status(response: get_model_status_pb2.GetModelStatusResponse) -> str:
    """Formats a GetModelStatus response."""
    return json.dumps(_to_dict(response), ensure_ascii=False)


def metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> str:
    """Formats a GetModelMetadata response: the model and its signatures."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    document = {"model_spec": _to_dict(response.model_spec), "metadata": {"signature_def": _to_dict(signatures)}}
    return json.dumps(document, ensure_ascii=False)


def _to_dict(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found


def error(message: str) -> str:
    """Formats an error response."""
    return json.dumps({"error": message}, ensure_ascii=False)
