"""REST's JSON: single values, as numbers, text and bytes."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from serving.model_server.errors import invalid

_B64 = "b64"

#: How much of a value an error shows.
MAX_SHOWN = 200

_TYPES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number", type(None): "Null"}


def float_of(value: float) -> float:
    """A number as a double, rounded if it must be; a float32 is rounded once more, where it is put into a message.

    Raises:
      ServingError: If it is a whole number beyond all doubles.
    """
    try:
        return float(value)
    except OverflowError as error:
        raise invalid("Number too big to be stored in double.") from error


def utf8(text: str) -> bytes:
    """A JSON string's bytes.

    Raises:
      ServingError: If it has half of a surrogate pair, which no text has.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise invalid(f"JSON Value: {shown(text)} must be text. Received: {error.reason}") from error


def is_b64(value: Any) -> bool:
    """Whether a value is `{"b64": "…"}`."""
    return isinstance(value, dict) and list(value) == [_B64] and isinstance(value[_B64], str)


def from_b64(value: Any) -> bytes:
    """The bytes of `{"b64": "…"}`.

    Raises:
      ServingError: If it is not that.
    """
    if not is_b64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value[_B64].translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")  # both alphabets, with padding or without
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def to_b64(value: bytes) -> dict[str, str]:
    """Bytes as `{"b64": "…"}`."""
    return {_B64: base64.b64encode(value).decode()}


def type_name(value: Any) -> str:
    """A JSON value's type, as TF Serving's errors have it."""
    return str(value) if isinstance(value, bool) else _TYPES[type(value)]


def check_length(values: list[Any], max_elements: int) -> None:
    """Holds the length of a list against what the server takes, before anything is made of it.

    Raises:
      ServingError: If it is longer.
    """
    if len(values) > max_elements:
        raise invalid(f"a list must have at most {max_elements} elements, such as candidates. Received: {len(values)}")


def shown(value: Any) -> str:
    """A JSON value for an error's text; of a long one, no more is written than is shown."""
    text = ""
    for part in json.JSONEncoder().iterencode(value):
        text += part
        if len(text) > MAX_SHOWN:
            return f"{text[:MAX_SHOWN]}…"
    return text
