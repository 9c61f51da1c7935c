"""Converts between TensorProtos and TensorFlow's tensors."""

from __future__ import annotations

import ctypes
import math

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.model_server.engine.tf_library import Tensor, library
from serving.model_server.errors import invalid

#: By DataType, the TensorProto field that has the values, and the NumPy dtype of the values in memory.
_FIELDS: dict[int, tuple[str, str]] = {
    types_pb2.DT_FLOAT: ("float_val", "f4"),
    types_pb2.DT_DOUBLE: ("double_val", "f8"),
    types_pb2.DT_INT32: ("int_val", "i4"),
    types_pb2.DT_INT16: ("int_val", "i2"),
    types_pb2.DT_UINT16: ("int_val", "u2"),
    types_pb2.DT_INT8: ("int_val", "i1"),
    types_pb2.DT_UINT8: ("int_val", "u1"),
    types_pb2.DT_INT64: ("int64_val", "i8"),
    types_pb2.DT_UINT32: ("uint32_val", "u4"),
    types_pb2.DT_UINT64: ("uint64_val", "u8"),
    types_pb2.DT_BOOL: ("bool_val", "?"),
    types_pb2.DT_HALF: ("half_val", "u2"),
    types_pb2.DT_BFLOAT16: ("half_val", "u2"),
}

#: Converting this many values to Python numbers takes about 0.3 ms, during which no other thread runs.
_VALUES_AT_ONCE = 10_000

#: A string in a tensor takes 24 bytes (`ctstring_internal.h` of TensorFlow 2.21.0). A short string is stored in them,
#: with its size times four in the first byte. The last two bits of that byte say how a longer string is stored.
_STRING_BYTES = 24
_KIND_BITS = 3
_SHORT = 0


def dtype_name(dtype: int) -> str:
    """A DataType's name as in TensorFlow's errors, such as `float`."""
    name: str = types_pb2.DataType.Name(dtype) if dtype in types_pb2.DataType.values() else f"DT_{dtype}"
    return name.removeprefix("DT_").lower()


def proto_shape(proto: tensor_pb2.TensorProto) -> tuple[int, ...]:
    """The shape of a TensorProto.

    Raises:
      ServingError: If it is not fully known.
    """
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise invalid(f"Invalid tensor shape: a request's tensor must be of known shape. Received: {list(shape)}")
    return shape


def values_field(dtype: int) -> str:
    """The name of the field in which a TensorProto of a dtype has its values.

    Raises:
      ServingError: If the dtype is not supported.
    """
    if dtype == types_pb2.DT_STRING:
        return "string_val"
    if dtype not in _FIELDS:
        raise invalid(f"a tensor must be of strings, numbers or booleans. Received: {dtype_name(dtype)}")
    return _FIELDS[dtype][0]


def element_bytes(dtype: int) -> int:
    """The bytes that an element of a numeric or boolean dtype takes in a tensor.

    Raises:
      ServingError: If the dtype is not supported.
    """
    values_field(dtype)
    return np.dtype(_FIELDS[dtype][1]).itemsize


def to_tensor(proto: tensor_pb2.TensorProto) -> Tensor:
    """Converts a request's tensor, whose dtype and number of elements have been checked.

    Raises:
      ServingError: If the values do not fit the shape.
    """
    _check_values(proto)
    return Tensor.from_proto(proto.SerializeToString())


def _check_values(proto: tensor_pb2.TensorProto) -> None:
    """Checks the number of values against the shape: TensorFlow would fill in missing values and drop surplus ones."""
    num_elements, num_values = math.prod(proto_shape(proto)), len(getattr(proto, values_field(proto.dtype)))
    if proto.tensor_content:
        if proto.dtype == types_pb2.DT_STRING:
            raise invalid("a string tensor's values must be in `string_val`. Received: `tensor_content`")
        num_bytes = num_elements * np.dtype(_FIELDS[proto.dtype][1]).itemsize
        if len(proto.tensor_content) != num_bytes:
            raise invalid(
                f"a tensor of {num_elements} elements must have {num_bytes} bytes. "
                f"Received: {len(proto.tensor_content)}"
            )
        return
    if num_values not in (num_elements, 1):  # a single value is repeated for all elements
        raise invalid(f"a tensor of {num_elements} elements must have as many values, or one. Received: {num_values}")


def to_proto(tensor: Tensor) -> tensor_pb2.TensorProto:
    """Converts an output tensor to a TensorProto with the values in its dtype's field, as TF Serving does."""
    proto = tensor_pb2.TensorProto(dtype=tensor.dtype)
    proto.tensor_shape.SetInParent()
    for size in tensor.shape:
        proto.tensor_shape.dim.add(size=size)
    values = getattr(proto, values_field(tensor.dtype))
    if tensor.dtype == types_pb2.DT_STRING:
        values.extend(_strings(tensor))
    else:
        found = np.frombuffer(tensor.raw, _FIELDS[tensor.dtype][1])
        for start in range(0, len(found), _VALUES_AT_ONCE):  # other threads run in between
            values.extend(found[start : start + _VALUES_AT_ONCE].tolist())
    return proto


def _strings(tensor: Tensor) -> list[bytes]:
    raw, address = tensor.raw, tensor.address
    strings = []
    for at in range(0, len(raw), _STRING_BYTES):
        head = raw[at]
        if head & _KIND_BITS == _SHORT:
            strings.append(raw[at + 1 : at + 1 + (head >> 2)])
        else:
            size = library().TF_StringGetSize(address + at)
            strings.append(ctypes.string_at(library().TF_StringGetDataPointer(address + at), size))
    return strings
