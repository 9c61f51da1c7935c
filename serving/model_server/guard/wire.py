"""Counts the parts of serialized messages before they are parsed.

A parsed part takes up to a hundred times its serialized bytes, and the parser blocks all other threads: 50,000 input
tensors of 640 kB in all delay other requests by 20 ms.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator

#: The most fields of a message, not counting nested ones. A request has one for its model, and one for each input, task
#: or output.
MAX_PARTS = 1000

#: A message with more bytes is large: 10,000 candidates have about 150 kB. Another process counts its parts; parsing it
#: takes some milliseconds. A smaller one is parsed at once, and its examples and elements are counted afterwards.
LARGE_BYTES = 64 << 10

#: TensorFlow's limit: `MaxDimensions` in `tensorflow/core/framework/tensor_shape.h`.
MAX_RANK = 254

#: The parts of an input beside its values: key, tensor, dtype, shape, dimensions, version, one field of packed values,
#: and repetitions of them.
_MAX_TENSOR_PARTS = 20

#: A string of this many bytes or more has a size of at least two bytes; a shorter one may also encode its size in more.
_LONG_BYTES = 128

#: Field numbers: a PredictRequest's inputs; the tensor in such an entry; a TensorProto's shape, strings, handles and
#: variants; a shape's dimensions.
_INPUTS, _TENSOR, _SHAPE, _STRINGS, _HANDLES, _VARIANTS, _DIM = 2, 2, 2, 8, 14, 15, 2

#: Field numbers: the Input in a Classify, Regress or MultiInference request; its lists; their examples.
_INPUT, _LISTS, _EXAMPLE = 2, (1, 2), 1

_WIRE_TYPE_BITS = 3
_VARINT, _FIXED64, _DELIMITED, _GROUP, _END_GROUP, _FIXED32 = 0, 1, 2, 3, 4, 5

#: A field's number, and the offsets at which its value begins and ends.
_Part = tuple[int, int, int]


class Counted(enum.Enum):
    """What is counted of a request beside its own fields."""

    NOTHING = enum.auto()
    EXAMPLES = enum.auto()
    TENSORS = enum.auto()


def excess_of_parts(serialized: bytes, counted: Counted, max_elements: int) -> str:
    """Checks a serialized request before it is parsed.

    Counting 4 MB of small parts takes 0.1 s of Python, so the caller counts large messages in another process.

    Args:
      serialized: The message.
      counted: What its type has.
      max_elements: The most examples, or values of an input.

    Returns:
      The rule that the request breaks and what was received; empty if it breaks none.
    """
    if has_too_many_parts(serialized):
        return f"at most {MAX_PARTS} parts, such as inputs or tasks. Received: more"
    if counted is Counted.EXAMPLES:
        return excess_of_examples(serialized, max_elements)
    if counted is Counted.TENSORS:
        return excess_of_tensors(serialized, max_elements)
    return ""


def has_too_many_parts(serialized: bytes) -> bool:
    """Whether a message has more than `MAX_PARTS` fields; each value of a repeated field counts.

    The result is False for bytes that are not a message: the parser reports what is wrong with them.
    """
    return next(itertools.islice(_parts(serialized, 0, len(serialized)), MAX_PARTS, None), None) is not None


def excess_of_examples(serialized: bytes, max_examples: int) -> str:
    """Checks the numbers of examples and other parts in the Input of a large request of examples.

    Such a request is one of Classify, Regress or MultiInference.

    The parser merges repeated Inputs, and their lists, into one list, so all are counted together.

    Args:
      serialized: A message that has passed `has_too_many_parts`.
      max_examples: The most examples in all lists.

    Returns:
      The rule that the request breaks and what was received; empty if it breaks none.
    """
    if len(serialized) <= LARGE_BYTES:
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
    """Yields, for each part of a message's Inputs and of their lists, whether it is an example."""
    for number, start, end in _parts(serialized, 0, len(serialized)):
        if number == _INPUT:
            for kind, first, last in _parts(serialized, start, end):
                yield False
                if kind in _LISTS:
                    yield from (part[0] == _EXAMPLE for part in _parts(serialized, first, last))


def excess_of_tensors(serialized: bytes, max_elements: int) -> str:
    """Checks a large PredictRequest's inputs for too many values or dimensions, handles, variants, or other parts.

    A handle or a dimension of two bytes becomes a message of its own when it is parsed, and 4 MB have two million.

    Args:
      serialized: A message that has passed `has_too_many_parts`.
      max_elements: The most values of an input; values in one field, such as packed numbers, are not counted.

    Returns:
      The rule that the request breaks and what was received; empty if it breaks none.
    """
    if len(serialized) <= LARGE_BYTES:
        return ""
    tensors = _Tensors(serialized, max_elements)
    inputs = (part for part in _parts(serialized, 0, len(serialized)) if part[0] == _INPUTS)
    return next((excess for _, start, end in inputs if (excess := tensors.count_input(start, end))), "")


class _Tensors:
    """Counts the parts of a PredictRequest's inputs.

    The parser merges several tensors of one input, so values and dimensions are counted per input. All other parts are
    counted together, since stepping over each takes a microsecond, and 8 MB have four million.
    """

    def __init__(self, serialized: bytes, max_elements: int) -> None:
        self._serialized = serialized
        self._max_elements = max_elements
        self._max_others = max_elements + MAX_PARTS * _MAX_TENSOR_PARTS
        self._num_values = self._num_dims = self._num_handles = self._num_others = 0

    def count_input(self, at: int, end: int) -> str:
        """Counts the parts of one entry of the inputs' map; returns the rule that is broken by then, or ''."""
        self._num_values = self._num_dims = 0
        for number, start, after in _parts(self._serialized, at, end):
            self._num_others += 1
            if number == _TENSOR:
                self._count_tensor(start, after)
            if excess := self._excess():
                return excess
        return ""

    def _count_tensor(self, at: int, end: int) -> None:
        """Counts a tensor's parts, until there are too many."""
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
            self._num_others += not is_string or at - start < _LONG_BYTES  # short, but its size takes two bytes or more
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
      The number of these strings, at most `limit`; and the offset after them.
    """
    tag, passed = _STRINGS << _WIRE_TYPE_BITS | _DELIMITED, 0
    while passed < limit and at + 1 < end and serialized[at] == tag and (size := serialized[at + 1]) < _LONG_BYTES:
        at += 2 + size
        passed += 1
    return passed, min(at, end)


def _parts(serialized: bytes, at: int, end: int) -> Iterator[_Part]:
    """Yields a message's fields, up to the first bytes that are not a valid field."""
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
        elif wire_type not in (_GROUP, _END_GROUP):  # a group's fields count as the message's own
            return
        yield tag >> _WIRE_TYPE_BITS, start, min(at, end)


def _varint(serialized: bytes, at: int, end: int) -> tuple[int, int]:
    """Decodes a varint; returns its value and the offset after it."""
    number = shift = 0
    while at < end:
        byte = serialized[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80 or shift > 63:
            break
    return number, at
