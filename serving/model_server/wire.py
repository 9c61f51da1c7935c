"""Serialized messages as they come, before they are parsed.

A parsed part of a message takes up to a hundred times the bytes that it has on its way, and the parser has the process
to itself meanwhile: 50,000 input tensors of 640 kB in all keep everybody else from it for 20 ms.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

#: Of a message itself, not of those in it: a request has one for its model, and one for each input, task or output.
MAX_PARTS = 1000

#: A smaller message is parsed at once; its examples and elements are counted afterwards.
_SMALL_BYTES = 64 << 10

#: As TensorFlow has it: `MaxDimensions` in `tensorflow/core/framework/tensor_shape.h`.
MAX_RANK = 254

#: Of an input beside its values: key, tensor, dtype, shape, dimensions, version, one field of packed values, and any of
#: them again.
_MAX_TENSOR_PARTS = 20

#: From so many bytes on, a string's size takes two bytes, if it is not written in more than it takes.
_LONG_BYTES = 128

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
    return next(itertools.islice(_parts(serialized, 0, len(serialized)), MAX_PARTS, None), None) is not None


def excess_of_examples(serialized: bytes, max_examples: int) -> str:
    """What the Input of a large Classify, Regress or MultiInference request has too much of.

    Inputs that come again, and their lists, are one list once they are parsed: all are counted together.

    Args:
      serialized: A message that has not too many parts.
      max_examples: The most that all lists may have.

    Returns:
      What a request must have, and what was received instead; empty if there is not too much.
    """
    if len(serialized) <= _SMALL_BYTES:
        return ""
    num_examples = num_others = 0
    for is_example in _examples(serialized):
        num_examples += is_example
        num_others += not is_example
        if num_examples > max_examples:
            return f"at most {max_examples} examples. Received: more"
        if num_others > MAX_PARTS:
            return f"at most {MAX_PARTS} parts beside its examples. Received: more"
    return ""


def _examples(serialized: bytes) -> Iterator[bool]:
    """For each part of the Inputs in a message, and of the lists in these: whether it is an example."""
    for number, start, end in _parts(serialized, 0, len(serialized)):
        if number == _INPUT:
            for kind, first, last in _parts(serialized, start, end):
                yield False
                if kind in _LISTS:
                    yield from (part[0] == _EXAMPLE for part in _parts(serialized, first, last))


def excess_of_tensors(serialized: bytes, max_elements: int) -> str:
    """What a large PredictRequest has too much of: values or dimensions of an input, handles, variants, other parts.

    A handle or a dimension of two bytes is a message of its own once it is parsed: four megabytes have two million.

    Args:
      serialized: A message that has not too many parts.
      max_elements: The most values that an input may have; those in one field, such as packed numbers, are not counted.

    Returns:
      What a request must have, and what was received instead; empty if there is not too much.
    """
    if len(serialized) <= _SMALL_BYTES:
        return ""
    tensors = _Tensors(serialized, max_elements)
    inputs = (part for part in _parts(serialized, 0, len(serialized)) if part[0] == _INPUTS)
    return next((excess for _, start, end in inputs if (excess := tensors.count_input(start, end))), "")


class _Tensors:
    """Counts what is in a PredictRequest's inputs.

    An input's tensors, if it has several, are one once they are parsed: values and dimensions are counted by input. All
    else is counted together, since each part takes a microsecond to step over: eight megabytes have four million.
    """

    def __init__(self, serialized: bytes, max_elements: int) -> None:
        self._serialized = serialized
        self._max_elements = max_elements
        self._max_others = max_elements + MAX_PARTS * _MAX_TENSOR_PARTS
        self._num_values = self._num_dims = self._num_handles = self._num_others = 0

    def count_input(self, at: int, end: int) -> str:
        """Counts an entry of the map of inputs; returns what is too much by then."""
        self._num_values = self._num_dims = 0
        for number, start, after in _parts(self._serialized, at, end):
            self._num_others += 1
            if number == _TENSOR:
                self._count_tensor(start, after)
            if excess := self._excess():
                return excess
        return ""

    def _count_tensor(self, at: int, end: int) -> None:
        """Counts a tensor's parts, as far as there is not too much."""
        while at < end and not self._excess():
            passed, at = _pass_short(self._serialized, at, end, self._max_elements + 1 - self._num_values)
            self._num_values += passed
            part = next(_parts(self._serialized, at, end), None)
            if part is None:
                return
            number, start, at = part
            is_string = number == _STRINGS
            self._num_values += is_string
            self._num_handles += number in (_HANDLES, _VARIANTS)
            self._num_others += not is_string or at - start < _LONG_BYTES  # whose size is written in more than a byte
            if number == _SHAPE:
                most = self._max_others + 1 - self._num_others
                are_dims = [each[0] == _DIM for each in itertools.islice(_parts(self._serialized, start, at), most)]
                self._num_dims += sum(are_dims)
                self._num_others += len(are_dims)

    def _excess(self) -> str:
        if self._num_values > self._max_elements:
            return f"at most {self._max_elements} elements, such as candidates, in an input. Received: more"
        if self._num_dims > MAX_RANK:
            return f"at most {MAX_RANK} dimensions in an input. Received: more"
        if self._num_handles:
            return "no handles or variants in its inputs. Received: one"
        if self._num_others > self._max_others:
            return f"at most {self._max_others} parts in its inputs beside strings, such as sizes. Received: more"
        return ""


def _pass_short(serialized: bytes, at: int, end: int, limit: int) -> tuple[int, int]:
    """Steps over a tensor's strings of less than 128 bytes, ten times as fast as `_parts`.

    Returns:
      How many those are, at most `limit`; and where what follows begins.
    """
    tag, passed = _STRINGS << _WIRE_TYPE_BITS | _DELIMITED, 0
    while passed < limit and at + 1 < end and serialized[at] == tag and (size := serialized[at + 1]) < _LONG_BYTES:
        at += 2 + size
        passed += 1
    return passed, min(at, end)


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
