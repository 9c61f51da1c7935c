"""TensorProtos of requests and answers: their dtypes, their shapes, and the limits on their size."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.model_server.errors import invalid
from serving.model_server.guard.wire import MAX_RANK

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

_MAX_INT64 = (1 << 63) - 1


def dtype_name(dtype: int) -> str:
    """A DataType's name as in TensorFlow's errors, such as `float`."""
    name: str = types_pb2.DataType.Name(dtype) if dtype in types_pb2.DataType.values() else f"DT_{dtype}"
    return name.removeprefix("DT_").lower()


def proto_shape(proto: tensor_pb2.TensorProto) -> tuple[int, ...]:
    """The shape of a TensorProto.

    Raises:
      ServingError: If it is not fully known.
    """
    shape = tuple([dim.size for dim in proto.tensor_shape.dim])
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise invalid(f"Invalid tensor shape: a request's tensor must be of known shape. Received: {list(shape)}")
    return shape


def shape_text(sizes: Iterable[int]) -> str:
    """Formats a shape as `TensorShape::DebugString` does, such as `[2,3]`."""
    return f"[{','.join(map(str, sizes))}]"


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


def values_dtype(dtype: int) -> np.dtype[Any]:
    """The NumPy dtype of a numeric or boolean tensor's values in memory.

    Raises:
      ServingError: If the dtype is not supported.
    """
    values_field(dtype)
    return np.dtype(_FIELDS[dtype][1])


def num_bytes(proto: tensor_pb2.TensorProto, num_elements: int) -> int:
    """The bytes of a tensor's values; of a single value that is repeated for all elements, each counts.

    Strings have the few bytes of their sizes too.

    Args:
      proto: The tensor.
      num_elements: The product of its dimensions.

    Raises:
      ServingError: If the dtype is not supported.
    """
    if proto.dtype != types_pb2.DT_STRING:
        return num_elements * values_dtype(proto.dtype).itemsize
    if num_elements > 1 and len(proto.string_val) == 1:
        return num_elements * len(proto.string_val[0])
    return int(proto.ByteSize())


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits on an input tensor's size, by what its elements cost.

    A string may be a candidate or a whole tf.Example, so strings are counted. A number costs the bytes that it takes,
    even if a request has one value for all elements; an image has many numbers.

    Attributes:
      max_strings: The most elements of a string tensor.
      max_bytes: The most bytes of a numeric or boolean tensor, and of a string that is repeated for all elements.
    """

    max_strings: int
    max_bytes: int

    def check(self, name: str, dtype: int, num_elements: int) -> None:
        """Checks the size of an input.

        Raises:
          ServingError: If it is too large.
        """
        if dtype == types_pb2.DT_STRING:
            if num_elements > self.max_strings:
                raise invalid(
                    f"input {name} must have at most {self.max_strings} elements, such as candidates. "
                    f"Received: {_written(num_elements)}"
                )
        else:
            self._check_bytes(name, num_elements * values_dtype(dtype).itemsize)

    def check_repeated(self, name: str, proto: tensor_pb2.TensorProto, num_elements: int) -> None:
        """Checks the bytes of a string that TensorFlow would copy for each element of an input, as `check` does."""
        if num_elements > 1 and len(proto.string_val) == 1:
            self._check_bytes(name, num_elements * len(proto.string_val[0]))

    def _check_bytes(self, name: str, size: int) -> None:
        if size > self.max_bytes:
            raise invalid(f"input {name} must have at most {self.max_bytes} bytes. Received: {_written(size)}")


def check_rank(name: str, rank: int) -> None:
    """Checks an input's number of dimensions against TensorFlow's limit.

    Raises:
      ServingError: If it has more.
    """
    if rank > MAX_RANK:
        raise invalid(f"input {name} must have at most {MAX_RANK} dimensions. Received: {rank}")


def _written(number: int) -> str:
    """Formats a number for an error message; a shape's product may have more digits than Python converts to text."""
    return str(number) if number <= _MAX_INT64 else f"more than {_MAX_INT64}"
