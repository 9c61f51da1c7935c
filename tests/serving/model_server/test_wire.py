"""Messages of too many parts, told before they are parsed; all are serialized by protobuf itself."""

from __future__ import annotations

import random

import pytest
from tensorflow.core.example import feature_pb2
from tensorflow.core.framework import attr_value_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2

from serving.model_server.wire import MAX_PARTS, has_too_many_examples, has_too_many_parts


def filtered(number: int) -> bytes:
    request = predict_pb2.PredictRequest(output_filter=["y" * 200] * number)
    return bytes(request.SerializeToString())


def test_as_many_as_allowed_and_one_more() -> None:
    assert not has_too_many_parts(filtered(MAX_PARTS))
    assert has_too_many_parts(filtered(MAX_PARTS + 1))


def test_parts_of_parts_do_not_count() -> None:
    request = predict_pb2.PredictRequest(model_spec={"name": "m"})
    request.inputs["x"].string_val.extend([b"app"] * 10 * MAX_PARTS)
    assert not has_too_many_parts(request.SerializeToString())


def test_numbers_of_all_kinds_are_stepped_over() -> None:
    """A whole number, a float, and packed numbers; behind them, strings that are counted."""
    for known in (
        attr_value_pb2.AttrValue(i=-1),
        attr_value_pb2.AttrValue(f=1.5),
        feature_pb2.FloatList(value=[1.0] * 5000),
    ):
        head = known.SerializeToString()
        assert not has_too_many_parts(head + filtered(MAX_PARTS - 1))
        assert has_too_many_parts(head + filtered(MAX_PARTS))
    fixed64 = b"\x09" + bytes(8)  # field 1 of wire type 1, which no message here has
    assert not has_too_many_parts(fixed64 + filtered(MAX_PARTS - 1))
    assert has_too_many_parts(fixed64 + filtered(MAX_PARTS))


def test_what_is_no_message_is_left_to_the_parser() -> None:
    rng = random.Random(1)
    assert not has_too_many_parts(b"")
    assert not any(has_too_many_parts(rng.randbytes(500)) for _ in range(2000))
    assert not has_too_many_parts(b"\xff" * 100_000)
    assert not has_too_many_parts(filtered(MAX_PARTS)[:-3])


def classify(number: int, text: bytes, *, context: bool) -> bytes:
    request = classification_pb2.ClassificationRequest(model_spec={"name": "m"})
    found = request.input.example_list_with_context if context else request.input.example_list
    if context:
        found.context.features.feature["c"].bytes_list.value.append(text)
    for _ in range(number):
        found.examples.add().features.feature["x"].bytes_list.value.append(text)
    return bytes(request.SerializeToString())


@pytest.mark.parametrize("context", [False, True])
def test_examples_are_counted(context: bool) -> None:
    text = b"x" * 1000  # with which a hundred examples make a large message
    assert not has_too_many_examples(classify(100, text, context=context), 100)
    assert has_too_many_examples(classify(101, text, context=context), 100)


def test_few_bytes_are_left_to_the_parser() -> None:
    assert not has_too_many_examples(classify(101, b"x", context=False), 100)


def test_a_large_tensor_has_no_examples() -> None:
    request = predict_pb2.PredictRequest(model_spec={"name": "m"})
    request.inputs["x"].string_val.extend([b"app" * 10] * 10_000)
    assert not has_too_many_examples(request.SerializeToString(), 100)
