"""Converts single JSON values of REST: numbers, text and bytes."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from serving.model_server.errors import invalid

_B64 = "b64"

#: The most characters of a value in an error message.
MAX_SHOWN = 200

_TYPES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number", type(None): "Null"}


def as_double(value: float) -> float:
    """Converts a number to a double, rounding it if necessary; a float32 message field rounds it once more.

    Raises:
      ServingError: If it is an integer beyond the range of doubles.
    """
    try:
        return float(value)
    except OverflowError as error:
        raise invalid("Number too big to be stored in double.") from error


def utf8(text: str) -> bytes:
    """Encodes a JSON string in UTF-8.

    Raises:
      ServingError: If it has an unpaired surrogate, which UTF-8 cannot encode.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise invalid(f"JSON Value: {shown(text)} must be text. Received: {error.reason}") from error


def is_b64(value: Any) -> bool:
    """Whether a value is `{"b64": "…"}`."""
    return isinstance(value, dict) and list(value) == [_B64] and isinstance(value[_B64], str)


def from_b64(value: Any) -> bytes:
    """Decodes `{"b64": "…"}`.

    Raises:
      ServingError: If it has another form, or is not valid base64.
    """
    if not is_b64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value[_B64].translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")  # both alphabets, with padding or without
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def to_b64(value: bytes) -> dict[str, str]:
    """Encodes bytes as `{"b64": "…"}`."""
    return {_B64: base64.b64encode(value).decode()}


def type_name(value: Any) -> str:
    """A JSON value's type as TF Serving's error messages name it."""
    return str(value) if isinstance(value, bool) else _TYPES[type(value)]


def shown(value: Any) -> str:
    """Formats a JSON value for an error message, cut after `MAX_SHOWN` characters; the rest is not encoded."""
    text = ""
    for part in json.JSONEncoder().iterencode(value):
        text += part
        if len(text) > MAX_SHOWN:
            return f"{text[:MAX_SHOWN]}…"
    return text
