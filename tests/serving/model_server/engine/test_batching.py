"""Tests of which requests can be merged into one computation, and which must run alone."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import pytest
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.engine import batching
from serving.model_server.engine.signatures import Inputs, Signature


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


def a_tensor(*sizes: int, strings: Sequence[bytes] = ()) -> tensor_pb2.TensorProto:
    """Strings; or floats, whose values are not looked at."""
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING if strings else types_pb2.DT_FLOAT, string_val=strings)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


def contexts_of(*num_bytes: int) -> tensor_pb2.TensorProto:
    return a_tensor(len(num_bytes), strings=[b"x" * number for number in num_bytes])


def candidates(*sizes: int, each: bytes = b"app") -> tensor_pb2.TensorProto:
    return a_tensor(*sizes, strings=[each] * math.prod(sizes))


@pytest.mark.parametrize(
    ("name", "inputs", "expected"),
    [
        ("s", {"x": a_tensor(2500)}, 2500),
        ("s", {"x": a_tensor(10, 7, 9)}, 70),
        ("s", {"x": a_tensor(10, 1, 20_000)}, 2000),  # 800,000 bytes / 400
        ("s", {"x": a_tensor(100, strings=[b"x" * 400_000])}, 100_000),  # one string, for each of 100 rows
        ("s", {}, 1),
        # A recorded context has 1 kB; 5,000 bytes for each candidate cost as much as the candidate.
        ("rank", {"context": contexts_of(1000), "item_ids": candidates(1, 200)}, 200),
        ("rank", {"context": contexts_of(360_000), "item_ids": candidates(1, 200)}, 14_400),  # 200 x 360,000 / 5,000
        ("rank", {"context": contexts_of(8_000_000), "item_ids": candidates(1, 1)}, 20_000),  # 8,000,000 / 400
        ("rank", {"context": contexts_of(50_000, 150_000), "item_ids": candidates(2, 100)}, 4000),  # 200 x 100,000 / 5k
        ("rank", {"context": contexts_of(9), "item_ids": a_tensor(1, 0, strings=[b""])}, 1),
        # An item's features are its own: 100 x 4,000 bytes and as many sizes of 3 bytes, and 100 ids of 5, by 400.
        (
            "rank_items",
            {
                "context": contexts_of(1000),
                "item_ids": candidates(1, 100),
                "items": candidates(1, 100, each=b"x" * 4000),
            },
            1004,
        ),
        # A list of 50 texts of 1,000 bytes, and a number, for each of 200 candidates.
        (
            "rank_named",
            {"apps": candidates(1, 50, each=b"x" * 1000), "age": a_tensor(1), "item_ids": candidates(1, 200)},
            2006,
        ),
        ("explain", {"examples": candidates(100)}, 50_000),
        ("explain_items", {"context": contexts_of(9), "item_ids": candidates(1, 3), "items": candidates(1, 3)}, 1500),
    ],
)
def test_work_counts_values_in_lists_too(name: str, inputs: Inputs, expected: int) -> None:
    signature = Signature(name, meta_graph_pb2.SignatureDef(), sorted(inputs), [])
    assert batching.num_elements(signature, inputs) == expected
