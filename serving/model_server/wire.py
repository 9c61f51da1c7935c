"""Serialized messages as they come, before they are parsed.

A parsed part of a message takes up to a hundred times the bytes that it has on its way, and the parser has the process
to itself meanwhile: 50,000 input tensors of 640 kB in all keep everybody else from it for 20 ms.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

#: Of a message itself, not of those in it: a request has one for its model, and one for each input, task or output.
MAX_PARTS = 1000

#: A smaller message has too few examples to matter, and its are counted once it is parsed.
_SMALL_BYTES = 64 << 10

#: As TensorFlow has it: `MaxDimensions` in `tensorflow/core/framework/tensor_shape.h`.
MAX_RANK = 254

#: Of a tensor beside its values: dtype, shape, version, one field of packed values, and any of them again.
_MAX_TENSOR_PARTS = 20

#: Of an entry of a map: a key and a value, and either again.
_MAX_ENTRY_PARTS = 4

#: Field numbers: of a PredictRequest's inputs, of the tensor in such an entry, of a TensorProto's shape, strings,
#: handles and variants, and of a shape's dimensions.
_INPUTS, _TENSOR, _SHAPE, _STRINGS, _HANDLES, _VARIANTS, _DIM = 2, 2, 2, 8, 14, 15, 2

#: Field numbers: of the Input in a Classify, Regress or MultiInference request, of the lists in it, of their examples.
_INPUT, _LISTS, _EXAMPLE = 2, (1, 2), 1

_WIRE_TYPE_BITS = 3
_VARINT, _FIXED64, _DELIMITED, _GROUP, _END_GROUP, _FIXED32 = 0, 1, 2, 3, 4, 5

#: The number of a field, and where its value begins and ends.
_Part = tuple[int, int, int]


def has_too_many_parts(serialized: bytes) -> bool:
    """Whether a message has more than `MAX_PARTS` fields, each of a repeated one counted.

    What is no message has none too many: the parser says what is wrong with it.
    """
    return _is_longer(_parts(serialized, 0, len(serialized)), MAX_PARTS)


def has_too_many_examples(serialized: bytes, max_examples: int) -> bool:
    """Whether the Input of a large Classify, Regress or MultiInference request has a list of too many examples.

    Args:
      serialized: A message that has not too many parts.
      max_examples: The most that a list may have.
    """
    if len(serialized) <= _SMALL_BYTES:
        return False
    inputs = (part for part in _parts(serialized, 0, len(serialized)) if part[0] == _INPUT)
    for _, start, end in inputs:
        for number, first, last in itertools.islice(_parts(serialized, start, end), MAX_PARTS):
            if number in _LISTS:
                examples = (part for part in _parts(serialized, first, last) if part[0] == _EXAMPLE)
                if _is_longer(examples, max_examples):
                    return True
    return False


def has_too_large_tensors(serialized: bytes, max_elements: int) -> bool:
    """Whether a large PredictRequest has a tensor of too many values or dimensions, or of handles or variants.

    A handle or a dimension of two bytes is a message of its own once it is parsed: four megabytes have two million.

    Args:
      serialized: A message that has not too many parts.
      max_elements: The most values that a tensor may have; those in one field, such as packed numbers, are not counted.
    """
    if len(serialized) <= _SMALL_BYTES:
        return False
    for number, start, end in _parts(serialized, 0, len(serialized)):
        if number == _INPUTS:
            entry = list(itertools.islice(_parts(serialized, start, end), _MAX_ENTRY_PARTS + 1))
            tensors = [(first, last) for number, first, last in entry if number == _TENSOR]
            if len(entry) > _MAX_ENTRY_PARTS or any(_is_too_large(serialized, *t, max_elements) for t in tensors):
                return True
    return False


def _is_too_large(serialized: bytes, at: int, end: int, max_elements: int) -> bool:
    """Whether a TensorProto is."""
    num_values = num_others = num_shapes = num_dims = 0
    while at < end:
        passed, at = _pass_short(serialized, at, end, max_elements + 1 - num_values)
        num_values += passed
        part = next(_parts(serialized, at, end), None)
        if part is None:
            return num_values > max_elements
        number, start, at = part
        if number in (_HANDLES, _VARIANTS):
            return True
        if number == _SHAPE:
            dims = (each for each in _parts(serialized, start, at) if each[0] == _DIM)
            num_shapes += 1
            num_dims += sum(1 for _ in itertools.islice(dims, MAX_RANK + 1))
        num_values += number == _STRINGS
        num_others += number != _STRINGS
        if num_values > max_elements or num_others > max_elements + _MAX_TENSOR_PARTS:
            return True
        if num_dims > MAX_RANK or num_shapes > _MAX_TENSOR_PARTS:
            return True
    return num_values > max_elements


def _pass_short(serialized: bytes, at: int, end: int, limit: int) -> tuple[int, int]:
    """Steps over a tensor's strings of less than 128 bytes, ten times as fast as `_parts`.

    Returns:
      How many those are, at most `limit`; and where what follows begins.
    """
    tag, passed = _STRINGS << _WIRE_TYPE_BITS | _DELIMITED, 0
    while passed < limit and at + 1 < end and serialized[at] == tag and (size := serialized[at + 1]) < 0x80:
        at += 2 + size
        passed += 1
    return passed, min(at, end)


def _is_longer(parts: Iterator[_Part], number: int) -> bool:
    return next(itertools.islice(parts, number, None), None) is not None


def _parts(serialized: bytes, at: int, end: int) -> Iterator[_Part]:
    """The fields of a message, as far as it is one."""
    while at < end:
        tag, at = _varint(serialized, at, end)
        wire_type, start = tag & ((1 << _WIRE_TYPE_BITS) - 1), at
        if wire_type == _VARINT:
            _, at = _varint(serialized, at, end)
        elif wire_type == _DELIMITED:
            size, start = _varint(serialized, at, end)
            at = start + size
        elif wire_type in (_FIXED32, _FIXED64):
            at += 4 if wire_type == _FIXED32 else 8
        elif wire_type not in (_GROUP, _END_GROUP):  # whose fields count as the message's own
            return
        yield tag >> _WIRE_TYPE_BITS, start, min(at, end)


def _varint(serialized: bytes, at: int, end: int) -> tuple[int, int]:
    """A number, and where what follows it begins."""
    number = shift = 0
    while at < end:
        byte = serialized[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80 or shift > 63:
            break
    return number, at
