"""Tests of finding messages with too many parts before they are parsed. Most are serialized by protobuf itself."""

from __future__ import annotations

import random

import pytest
from tensorflow.core.example import feature_pb2
from tensorflow.core.framework import attr_value_pb2, tensor_pb2, types_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2

from serving.model_server.guard.wire import (
    MAX_PARTS,
    MAX_RANK,
    excess_of_examples,
    excess_of_tensors,
    has_too_many_parts,
)


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
    """A varint, a float or packed numbers come before strings that are counted."""
    for known in (
        attr_value_pb2.AttrValue(i=-1),
        attr_value_pb2.AttrValue(f=1.5),
        feature_pb2.FloatList(value=[1.0] * 5000),
    ):
        head = known.SerializeToString()
        assert not has_too_many_parts(head + filtered(MAX_PARTS - 1))
        assert has_too_many_parts(head + filtered(MAX_PARTS))
    fixed64 = b"\x09" + bytes(8)  # field 1 of wire type 1, which no message here uses
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
    text = b"x" * 1000  # makes a hundred examples a large message
    assert not excess_of_examples(classify(100, text, context=context), 100)
    assert excess_of_examples(classify(101, text, context=context), 100)


def test_few_bytes_are_left_to_the_parser() -> None:
    assert not excess_of_examples(classify(101, b"x", context=False), 100)


def field(number: int, value: bytes) -> bytes:
    """Serializes a message or string field."""
    size, length = len(value), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


#: A field that no Input, list or shape has: number 15, a varint.
UNKNOWN = b"\x78\x00"


def a_list(number: int) -> bytes:
    """Serializes an Input's list of examples of 1,002 bytes and a tag each; 70 of them make a large message."""
    return field(1, field(1, b"x" * 1000) * number)


MORE_EXAMPLES = "at most 100 examples. Received: more"
MORE_BESIDE = f"at most {MAX_PARTS} parts beside its examples. Received: more"


def test_examples_of_lists_that_become_one_are_counted_together() -> None:
    assert excess_of_examples(field(2, a_list(60) + a_list(40)), 100) == ""
    assert excess_of_examples(field(2, a_list(60) + a_list(41)), 100) == MORE_EXAMPLES
    assert excess_of_examples(field(2, a_list(60)) + field(2, a_list(40)), 100) == ""
    assert excess_of_examples(field(2, a_list(60)) + field(2, a_list(41)), 100) == MORE_EXAMPLES


def test_what_an_input_has_beside_its_examples_is_counted() -> None:
    """Two lists are two parts; the other parts are before the lists and in them."""
    lists = a_list(50) + field(1, field(1, b"x" * 1000) * 50 + UNKNOWN * 500)
    assert excess_of_examples(field(2, UNKNOWN * (MAX_PARTS - 502) + lists), 100) == ""
    assert excess_of_examples(field(2, UNKNOWN * (MAX_PARTS - 501) + lists), 100) == MORE_BESIDE
    one_more = field(2, UNKNOWN * 200 + a_list(101))
    assert excess_of_examples(one_more, 100) == MORE_EXAMPLES


#: An input that makes a message large enough to be checked.
PADDING = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[b"x" * 100_000])


def predict(*tensors: tensor_pb2.TensorProto) -> bytes:
    request = predict_pb2.PredictRequest(model_spec={"name": "m"})
    for number, tensor in enumerate([PADDING, *tensors]):
        request.inputs[str(number)].CopyFrom(tensor)
    return bytes(request.SerializeToString())


def strings(number: int, size: int) -> tensor_pb2.TensorProto:
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[b"x" * size] * number)
    tensor.tensor_shape.dim.add(size=number)
    return tensor


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000])
def test_a_tensor_s_strings_are_counted(size: int) -> None:
    assert not excess_of_tensors(predict(strings(100, size)), 100)
    assert excess_of_tensors(predict(strings(101, size)), 100).startswith("at most 100 elements")
    assert not excess_of_tensors(predict(strings(100, size), strings(100, size)), 100)


def test_strings_of_mixed_sizes_are_counted() -> None:
    mixed = strings(50, 3)
    mixed.string_val.extend([b"y" * 500] * 50 + [b""] * 5)
    assert not excess_of_tensors(predict(mixed), 105)
    assert excess_of_tensors(predict(mixed), 104)


MORE_ELEMENTS = "at most 100 elements, such as candidates, in an input. Received: more"
MORE_DIMS = f"at most {MAX_RANK} dimensions in an input. Received: more"
MORE_OTHERS = "at most 20100 parts in its inputs beside strings, such as sizes. Received: more"


def test_dimensions_are_counted() -> None:
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT)
    for _ in range(MAX_RANK):
        tensor.tensor_shape.dim.add(size=1)
    assert excess_of_tensors(predict(tensor, tensor), 100) == ""
    tensor.tensor_shape.dim.add(size=1)
    assert excess_of_tensors(predict(tensor), 100) == MORE_DIMS


def test_handles_and_variants_are_not_parsed() -> None:
    for name in ("resource_handle_val", "variant_val"):
        tensor = tensor_pb2.TensorProto()
        getattr(tensor, name).add()
        assert excess_of_tensors(predict(tensor), 100) == "no handles or variants in its inputs. Received: one"


def test_tensors_that_become_one_are_counted_together() -> None:
    """The parser merges several tensors of one entry in the inputs' map into one with all their values."""
    text = field(8, b"x" * 1000)
    assert excess_of_tensors(field(2, field(2, text * 60) + field(2, text * 40)), 100) == ""
    assert excess_of_tensors(field(2, field(2, text * 60) + field(2, text * 41)), 100) == MORE_ELEMENTS
    shape = [field(2, field(2, field(2, b"") * number)) for number in (200, 54, 55)]
    assert excess_of_tensors(field(2, field(2, text * 70) + shape[0] + shape[1]), 100) == ""
    assert excess_of_tensors(field(2, field(2, text * 70) + shape[0] + shape[2]), 100) == MORE_DIMS


#: An unpacked element of `int_val`.
WHOLE_NUMBER = b"\x38\x01"

#: The most parts beside strings in inputs of at most 100 elements.
MOST_OTHERS = 100 + 20 * MAX_PARTS


@pytest.mark.parametrize("inside", ["entry", "tensor", "shape", "two inputs"])
def test_other_parts_of_inputs_are_counted_wherever_they_are(inside: str) -> None:
    """Unpacked numbers and unknown fields count; a large message has more than 65,536 bytes."""
    large = field(2, field(2, field(8, b"x" * 70_000)))  # has one such part, the tensor

    def padded(number: int) -> bytes:
        if inside == "entry":
            return large + field(2, UNKNOWN * (number - 1))
        if inside == "tensor":
            return large + field(2, field(2, WHOLE_NUMBER * (number - 2)))
        if inside == "shape":
            return large + field(2, field(2, field(2, UNKNOWN * (number - 3))))
        first = field(2, field(2, WHOLE_NUMBER * 10_000))
        return large + first + field(2, field(2, WHOLE_NUMBER * (number - 10_003)))

    assert excess_of_tensors(padded(MOST_OTHERS), 100) == ""
    assert excess_of_tensors(padded(MOST_OTHERS + 1), 100) == MORE_OTHERS


def test_a_short_string_s_size_in_two_bytes_is_another_part() -> None:
    """No serializer writes this, and stepping over it takes ten times as long."""
    inputs = field(2, field(2, b"\x42\x80\x00" * 100)) * 300
    assert excess_of_tensors(inputs, 100) == MORE_OTHERS
    assert excess_of_tensors(field(2, field(2, b"\x42\x00" * 100)) * 400, 100) == ""


def test_packed_numbers_are_one_part() -> None:
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0] * 5000, tensor_content=b"x" * 5000)
    assert not excess_of_tensors(predict(tensor), 100)


def test_a_small_message_is_left_to_the_parser() -> None:
    request = predict_pb2.PredictRequest(model_spec={"name": "m"})
    request.inputs["x"].CopyFrom(strings(101, 1))
    assert not excess_of_tensors(request.SerializeToString(), 100)


def test_what_is_no_tensor_is_left_to_the_parser() -> None:
    rng = random.Random(1)
    cut_off = predict(strings(100, 200))
    for end in range(100_000, len(cut_off), 97):
        assert not excess_of_tensors(cut_off[:end], 100)
    for _ in range(200):
        excess_of_tensors(rng.randbytes(70_000), 100)  # terminates


@pytest.mark.parametrize("hidden_behind", [b"\x0b\x0c", b"\x0a\x00" * 5, b"\x0b\x10\x01\x0c"])
def test_what_is_hidden_behind_other_fields_is_counted(hidden_behind: bytes) -> None:
    """The first fields are an unknown group, five repeated keys, or a group with a field."""
    entry = predict_pb2.PredictRequest(inputs={"x": strings(101, 900)}).SerializeToString()
    assert excess_of_tensors(entry, 100)
    inside = hidden_behind + entry[4:]  # after the tag and the three bytes of the entry's length
    size = len(inside)
    length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
    assert excess_of_tensors(b"\x12" + length + inside, 100)


def test_groups_hide_no_parts() -> None:
    assert has_too_many_parts(b"\x9b\x06\x9c\x06" + filtered(MAX_PARTS))
