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

#: Field numbers: of the Input in a Classify, Regress or MultiInference request, of the lists in it, of their examples.
_INPUT, _LISTS, _EXAMPLE = 2, (1, 2), 1

_WIRE_TYPE_BITS = 3
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5

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
        else:
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
