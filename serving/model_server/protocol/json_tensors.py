"""Parses REST's JSON tensors: nested lists, by row or by column.

The forms and the error messages are those of TF Serving's `util/json_tensor.cc`; the rules are documented at
https://www.tensorflow.org/tfx/serving/api_rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from serving.model_server.engine.tensors import Limits, check_rank, dtype_name, shape_text, values_field
from serving.model_server.errors import ServingError, invalid
from serving.model_server.protocol.json_values import MAX_SHOWN, as_double, from_b64, is_b64, shown, type_name, utf8

TensorInfos = Mapping[str, meta_graph_pb2.TensorInfo]

INSTANCES, INPUTS = "instances", "inputs"

#: By DataType, the range of its integers.
_RANGES = {
    types_pb2.DataType.Value(f"DT_{name}"): np.iinfo(name.lower())
    for name in ("INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64")
}

#: The DataTypes that JSON values are converted to.
_CONVERTED = {types_pb2.DT_STRING, types_pb2.DT_BOOL, types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE, *_RANGES}


def fill_predict_request(
    request: predict_pb2.PredictRequest, document: Mapping[str, Any], infos: TensorInfos, limits: Limits
) -> bool:
    """Fills a Predict request from a body.

    Args:
      request: The request whose inputs are set.
      document: The body's JSON object.
      infos: The signature's inputs.
      limits: The size limits of an input.

    Returns:
      Whether the inputs are given by row, as the outputs then are.

    Raises:
      ServingError: If the body is malformed, or its values do not have the signature's dtypes.
    """
    if INSTANCES in document and INPUTS in document:
        raise invalid(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if INSTANCES in document:
        instances = document[INSTANCES]
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {shown(document)} Expecting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {shown(document)} No values in 'instances' array")
        for name, column in _columns(instances, infos, limits).items():
            request.inputs[name].CopyFrom(column.to_proto())
    elif INPUTS in document:
        for name, value in _inputs(document[INPUTS], infos).items():
            request.inputs[name].CopyFrom(to_tensor_proto(name, value, infos[name].dtype, limits))
    else:
        raise invalid("Missing 'inputs' or 'instances' key")
    return INSTANCES in document


class _Column:
    """The rows of one input; all must have the first one's shape."""

    def __init__(self, name: str, dtype: int, limits: Limits) -> None:
        self._name, self._dtype, self._limits = name, dtype, limits
        self._convert = _converter(dtype)
        self._values: list[Any] = []
        self._shape: list[int] | None = None
        self._num_rows = 0

    def add(self, value: Any) -> None:
        """Adds a row.

        Raises:
          ServingError: If it has another shape, another dtype or too high a rank, or there are too many values.
        """
        shape, before = _shape(value), len(self._values)
        check_rank(self._name, len(shape) + 1)
        _check_size(self._name, self._dtype, before + math.prod(shape), self._limits)
        _collect(value, 0, shape, self._convert, self._values)
        self._num_rows += 1
        if self._shape is None:
            self._shape = shape
        elif shape != self._shape:
            size, expected = len(self._values) - before, math.prod(self._shape)
            if size != expected:
                raise invalid(f"Expecting tensor size: {expected} but got: {size}")
            raise invalid(f"Expecting shape {shape_text(self._shape)} but got: {shape_text(shape)}")

    def to_proto(self) -> tensor_pb2.TensorProto:
        return _proto(self._dtype, [self._num_rows, *(self._shape or [])], self._values)


def _columns(instances: list[Any], infos: TensorInfos, limits: Limits) -> dict[str, _Column]:
    """Converts rows to columns."""
    named = _is_named(instances[0])
    if not named and len(infos) != 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns = {name: _Column(name, info.dtype, limits) for name, info in infos.items()}
    only = next(iter(columns.values()), None)
    for number, element in enumerate(instances):
        if named != _is_named(element):
            expected, found = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {found} at item {number} of input list")
        if named:
            _add_named(columns, number, element)
        else:
            assert only is not None
            _add(only, element, number)
    return columns


def _add_named(columns: dict[str, _Column], number: int, element: dict[str, Any]) -> None:
    for name, value in element.items():
        if name not in columns:
            unknown = invalid(f"JSON object: does not have named input: {name[:MAX_SHOWN]}")
            raise _not_processed(number, unknown, name)
        _add(columns[name], value, number, name)
    if len(element) != len(columns):
        raise invalid(
            f"Failed to process element: {number} of 'instances' list. JSON object: {shown(element)} keys must be "
            f"equal to: {','.join(sorted(columns))}"
        )


def _add(column: _Column, value: Any, number: int, key: str | None = None) -> None:
    try:
        column.add(value)
    except ServingError as error:
        raise _not_processed(number, error, key) from error


def _not_processed(number: int, error: ServingError, key: str | None) -> ServingError:
    where = f"element: {number}" if key is None else f"element: {number} key: {key[:MAX_SHOWN]}"
    return invalid(f"Failed to process {where} of 'instances' list. Error: {error.code.name}: {error.message}")


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


def to_tensor_proto(name: str, value: Any, dtype: int, limits: Limits) -> tensor_pb2.TensorProto:
    """Converts nested lists to a tensor.

    Args:
      name: The input's name, for error messages.
      value: The lists, or a single value.
      dtype: The tensor's DataType.
      limits: The size limits of an input.

    Raises:
      ServingError: If the lists are ragged, too deep or have too many values, or a value does not have the dtype.
    """
    shape = _shape(value)
    check_rank(name, len(shape))
    _check_size(name, dtype, math.prod(shape), limits)
    values: list[Any] = []
    _collect(value, 0, shape, _converter(dtype), values)
    return _proto(dtype, shape, values)


def _check_size(name: str, dtype: int, num_elements: int, limits: Limits) -> None:
    """Checks the size before values are converted, which takes longer than parsing; other dtypes are not converted."""
    if dtype in _CONVERTED:
        limits.check(name, dtype, num_elements)


def _shape(value: Any) -> list[int]:
    """The shape of nested lists, taken from the first element at each level."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _proto(dtype: int, shape: list[int], values: list[Any]) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype)
    proto.tensor_shape.SetInParent()  # for a scalar: without a shape, its rank would be unknown
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    if values:  # a dtype without a field has no values
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
    """The function that converts a JSON value to a dtype."""

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
        return as_double(value)

    def to_int(value: Any) -> int:
        bounds = _RANGES[dtype]
        if isinstance(value, bool) or not isinstance(value, int) or not bounds.min <= value <= bounds.max:
            raise wrong(value)
        return value

    def unsupported(value: Any) -> Any:
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED, f"Conversion of JSON Value: {shown(value)} to type: {dtype_name(dtype)}"
        )

    if dtype == types_pb2.DT_STRING:
        return to_string
    if dtype == types_pb2.DT_BOOL:
        return to_bool
    if dtype in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE):
        return to_float
    if dtype in _RANGES:
        return to_int
    return unsupported
