"""REST's JSON: tensors in nested lists, by row or by column.

The forms, and the errors' texts, are those of TF Serving's `util/json_tensor.cc`; where its rules come from:
https://www.tensorflow.org/tfx/serving/api_rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.model_server.errors import invalid
from serving.model_server.json_values import (
    check_length,
    check_number,
    float_of,
    from_b64,
    is_b64,
    shown,
    type_name,
    utf8,
)
from serving.model_server.tensors import dtype_name, values_field

TensorInfos = Mapping[str, meta_graph_pb2.TensorInfo]

INSTANCES, INPUTS = "instances", "inputs"

#: By DataType, what a whole number may be.
_RANGES: dict[int, tuple[int, int]] = {
    types_pb2.DT_INT8: (-(1 << 7), (1 << 7) - 1),
    types_pb2.DT_UINT8: (0, (1 << 8) - 1),
    types_pb2.DT_INT16: (-(1 << 15), (1 << 15) - 1),
    types_pb2.DT_UINT16: (0, (1 << 16) - 1),
    types_pb2.DT_INT32: (-(1 << 31), (1 << 31) - 1),
    types_pb2.DT_UINT32: (0, (1 << 32) - 1),
    types_pb2.DT_INT64: (-(1 << 63), (1 << 63) - 1),
    types_pb2.DT_UINT64: (0, (1 << 64) - 1),
}


def fill_predict_request(
    request: predict_pb2.PredictRequest, document: Mapping[str, Any], infos: TensorInfos, max_elements: int
) -> bool:
    """Fills a Predict request from a body.

    Args:
      request: Its inputs are set.
      document: The body.
      infos: The inputs of the signature.
      max_elements: The most elements of a list or of an input tensor.

    Returns:
      Whether the inputs were given by row, as the outputs then are.

    Raises:
      ServingError: If the body does not have the form, or its values not the signature's dtypes.
    """
    if INSTANCES in document and INPUTS in document:
        raise invalid(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if INSTANCES in document:
        instances = document[INSTANCES]
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {shown(document)} Excepting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {shown(document)} No values in 'instances' array")
        check_length(instances, max_elements)
        columns = _columns(instances, infos)
    elif INPUTS in document:
        columns = _inputs(document[INPUTS], infos)
    else:
        raise invalid("Missing 'inputs' or 'instances' key")
    for name, value in columns.items():
        request.inputs[name].CopyFrom(to_tensor_proto(value, infos[name].dtype, max_elements))
    return INSTANCES in document


def _columns(instances: list[Any], infos: TensorInfos) -> dict[str, list[Any]]:
    """Rows as columns."""
    if not _is_named(instances[0]):
        if len(infos) != 1:
            raise invalid(
                "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
                "tensorinfo_map"
            )
        for number, element in enumerate(instances):
            if _is_named(element):
                raise invalid(f"Expecting value/list but got object at item {number} of input list")
        return {next(iter(infos)): instances}
    for number, element in enumerate(instances):
        if not _is_named(element):
            raise invalid(f"Expecting object but got list at item {number} of input list")
        if set(element) != set(infos):
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: {shown(element)} keys must be "
                f"equal to: {','.join(sorted(infos))}"
            )
    return {name: [element[name] for element in instances] for name in infos}


def _inputs(value: Any, infos: TensorInfos) -> dict[str, Any]:
    if not _is_named(value):
        if len(infos) != 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        return {next(iter(infos)): value}
    for name in sorted(infos):
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: value[name] for name in infos}


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not is_b64(value)


def to_tensor_proto(value: Any, dtype: int, max_elements: int) -> tensor_pb2.TensorProto:
    """Nested lists of values as a tensor.

    Args:
      value: The lists, or a single value.
      dtype: The tensor's DataType.
      max_elements: The most that it may have.

    Raises:
      ServingError: If the lists are ragged or have too many values, or a value is not of the dtype.
    """
    proto = tensor_pb2.TensorProto(dtype=dtype)
    shape = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        proto.tensor_shape.dim.add(size=len(inner))
        inner = inner[0] if inner else None
    check_number(math.prod(shape), max_elements)
    values: list[Any] = []
    _collect(value, 0, shape, _converter(dtype), values)
    getattr(proto, values_field(dtype)).extend(values)
    return proto


def _collect(value: Any, level: int, shape: list[int], convert: Callable[[Any], Any], values: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: "
                f"{len(shape)}"
            )
        values.append(convert(value))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for element in value:
        _collect(element, level + 1, shape, convert, values)


def _converter(dtype: int) -> Callable[[Any], Any]:
    """What makes a JSON value one of a dtype."""

    def wrong(value: Any) -> Exception:
        return invalid(
            f"JSON Value: {shown(value)} Type: {type_name(value)} is not of expected type: {dtype_name(dtype)}"
        )

    def to_string(value: Any) -> bytes:
        if isinstance(value, str):
            return utf8(value)
        if isinstance(value, dict):
            return from_b64(value)
        raise wrong(value)

    def to_bool(value: Any) -> bool:
        if not isinstance(value, bool):
            raise wrong(value)
        return value

    def to_float(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong(value)
        return float_of(value)

    def to_int(value: Any) -> int:
        low, high = _RANGES[dtype]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise wrong(value)
        return value

    if dtype == types_pb2.DT_STRING:
        return to_string
    if dtype == types_pb2.DT_BOOL:
        return to_bool
    if dtype in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE):
        return to_float
    if dtype in _RANGES:
        return to_int
    raise invalid(f"Conversion of a JSON value to type {dtype_name(dtype)} is not supported")
