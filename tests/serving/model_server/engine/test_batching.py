"""Tests of which requests can be merged into one computation, and which must run alone."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.engine import batching
from serving.model_server.engine.signatures import Signature


def a_key(dtype: int, sizes: list[int], **values: object) -> Hashable:
    """The merge key of a request with one input."""
    info = meta_graph_pb2.TensorInfo(dtype=dtype)
    info.tensor_shape.dim.add(size=-1)
    definition = meta_graph_pb2.SignatureDef(inputs={"x": info}, outputs={"y": info})
    signature = Signature("s", definition, ["x"], ["y"])
    proto = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return batching.key(signature, {"x": proto})


@pytest.mark.parametrize(
    ("dtype", "element_bytes"),
    [(types_pb2.DT_FLOAT, 4), (types_pb2.DT_INT64, 8), (types_pb2.DT_BOOL, 1), (types_pb2.DT_HALF, 2)],
)
def test_bytes_of_a_wrong_number_are_computed_alone(dtype: int, element_bytes: int) -> None:
    """If merged, rows of 3 elements from tensors of 3, 6 and 9 would make six rows, but not two for each request."""
    fits = a_key(dtype, [2, 3], tensor_content=b"x" * 6 * element_bytes)
    assert fits is not None
    assert fits == a_key(dtype, [3, 3], tensor_content=b"x" * 9 * element_bytes)
    for num_bytes in (1, 3 * element_bytes, 6 * element_bytes - 1, 6 * element_bytes + 1, 9 * element_bytes):
        assert a_key(dtype, [2, 3], tensor_content=b"x" * num_bytes) is None
    assert a_key(dtype, [0, 3], tensor_content=b"x" * element_bytes) is None


def test_strings_as_bytes_are_computed_alone() -> None:
    """A string has no fixed number of bytes; the model refuses such a tensor."""
    assert a_key(types_pb2.DT_STRING, [2], tensor_content=b"x" * 48) is None
    assert a_key(types_pb2.DT_STRING, [2], string_val=[b"x", b"y"]) is not None


def test_values_of_a_wrong_number_are_computed_alone() -> None:
    """A single value is repeated for all elements, and has no rows."""
    assert a_key(types_pb2.DT_FLOAT, [2, 3], float_val=[1.0] * 6) is not None
    for number in (0, 1, 5, 7):
        assert a_key(types_pb2.DT_FLOAT, [2, 3], float_val=[1.0] * number) is None
