"""Tests of the limits on a request's tensors, whatever their shapes; expected numbers are computed by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.engine.signatures import Signature, check_inputs
from serving.model_server.engine.tensors import Limits
from serving.model_server.errors import ServingError
from serving.model_server.protocol.json_tensors import to_tensor_proto

LIMITS = Limits(max_strings=100, max_bytes=400)
FLOAT, STRING = types_pb2.DT_FLOAT, types_pb2.DT_STRING


def check(dtype: int, *sizes: int, limits: Limits | None = LIMITS, string_val: Sequence[bytes] = ()) -> None:
    """Checks a tensor of a shape against a signature with one input, `x`."""
    definition = meta_graph_pb2.SignatureDef(inputs={"x": meta_graph_pb2.TensorInfo(dtype=dtype)})
    proto = tensor_pb2.TensorProto(dtype=dtype, string_val=string_val)
    proto.tensor_shape.SetInParent()
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    check_inputs(Signature("s", definition, ["x"], []), {"x": proto}, limits)


@pytest.mark.parametrize("dtype", [FLOAT, STRING])
@pytest.mark.parametrize("sizes", [(), (0,), (100,), (100, 0), (0, 100), (10, 10), (0, 0, 0), (1,) * 254])
def test_as_many_elements_as_allowed(dtype: int, sizes: tuple[int, ...]) -> None:
    check(dtype, *sizes)


@pytest.mark.parametrize("sizes", [(101,), (101, 0), (0, 101), (0, 1, 101), (51, 2, 0)])
def test_an_empty_tensor_has_no_large_size_either(sizes: tuple[int, ...]) -> None:
    """A dimension of 0 counts as 1, since an empty tensor's rows and candidates are processed like any others."""
    product = 102 if 51 in sizes else 101
    with pytest.raises(ServingError, match=rf"^input x must have at most 400 bytes\. Received: {4 * product}$"):
        check(FLOAT, *sizes)
    with pytest.raises(ServingError, match=rf"at most 100 elements, such as candidates\. Received: {product}$"):
        check(STRING, *sizes)


@pytest.mark.parametrize("sizes", [(2**62, 2**62, 0), (2**63 - 1,) * 254])
def test_a_number_of_thousands_of_digits_is_not_written(sizes: tuple[int, ...]) -> None:
    """254 dimensions of 19 digits have a product of about 4,800 digits; Python formats at most 4,300."""
    for dtype in (FLOAT, STRING):
        with pytest.raises(ServingError, match=r"Received: more than 9223372036854775807$"):
            check(dtype, *sizes)


@pytest.mark.parametrize("limits", [None, LIMITS])
def test_dimensions_are_bounded(limits: Limits | None) -> None:
    with pytest.raises(ServingError, match=r"^input x must have at most 254 dimensions\. Received: 255$"):
        check(FLOAT, *[1] * 255, limits=limits)


@pytest.mark.parametrize("sizes", [(), (1,), (2, 20)])
def test_a_string_that_is_repeated_counts_for_each_element(sizes: tuple[int, ...]) -> None:
    """TensorFlow would copy it: 10,000 times 8 MB. 40 elements of 10 bytes are as much as is allowed."""
    check(STRING, *sizes, string_val=[b"x" * (10 if len(sizes) == 2 else 1000)])
    check(STRING, *sizes, string_val=[b"x" * 1000] * 2)  # not repeated: what it has was bounded as a message
    if len(sizes) == 2:
        with pytest.raises(ServingError, match=r"^input x must have at most 400 bytes\. Received: 440$"):
            check(STRING, *sizes, string_val=[b"x" * 11])


def test_lists_of_json_in_each_other_are_bounded() -> None:
    """The depth is checked before the lists are walked, which would recurse too deep for a thousand of them."""
    value: object = 1.0
    for _ in range(254):
        value = [value]
    assert len(to_tensor_proto("x", value, FLOAT, LIMITS).tensor_shape.dim) == 254
    for _ in range(2000):
        value = [value]
    with pytest.raises(ServingError, match=r"^input x must have at most 254 dimensions\. Received: 2254$"):
        to_tensor_proto("x", value, FLOAT, LIMITS)
