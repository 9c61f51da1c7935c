"""Converts a caller's features to the tf.Example that the model reads: strings are categories, numbers are numeric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from serving.ranking_client.errors import RequestError
from serving.ranking_client.protos import DT_FLOAT, DT_STRING, BytesList, Example, Feature, FloatList
from serving.ranking_client.protos import Features as FeaturesMessage

Scalar: TypeAlias = str | bytes | int | float
#: None and an empty list are a missing value.
Value: TypeAlias = Scalar | Sequence[Scalar] | None
Features: TypeAlias = Mapping[str, Value]

#: By feature name, its tensor's dtype, where the model's signatures give it: DT_STRING or DT_FLOAT.
Kinds: TypeAlias = Mapping[str, int]

#: The values allowed, by dtype; None if the dtype is unknown.
_ALLOWED = {
    None: "a text, a number, or a list of either",
    DT_STRING: "a text, an integer, or a list of them",
    DT_FLOAT: "a number, or a list of numbers",
}

_MAX_FLOAT32 = (2 - 2**-23) * 2.0**127


def encode_example(features: Features | bytes, what: str, max_bytes: int, kinds: Kinds | None = None) -> bytes:
    """Serializes features as a tf.Example.

    Args:
      features: By name, a value, a list of values, or None; or an already serialized tf.Example.
      what: What the features describe, for error messages.
      max_bytes: The longest tf.Example allowed.
      kinds: By name, the feature's dtype. An integer for a DT_STRING feature becomes its decimal digits; without a
        known dtype it is a number.

    Returns:
      The serialized tf.Example.

    Raises:
      RequestError: If a value is of a type that the feature does not take, or the example is too long.
    """
    if isinstance(features, bytes):
        serialized = features
    else:
        kinds = kinds or {}
        entries = {
            name: entry
            for name, value in features.items()
            if (entry := _entry(value, kinds.get(name), f"feature {name!r} of {what}")) is not None
        }
        example = Example(features=FeaturesMessage(feature=entries))
        serialized = example.SerializeToString()
    if len(serialized) > max_bytes:
        raise RequestError(f"{what} must have at most {max_bytes:,} bytes. Received: {len(serialized):,}")
    return serialized


def _entry(value: Value, kind: int | None, where: str) -> Any:
    """Returns a value as a Feature; None if it is missing."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    if value is None or not values:
        return None
    if kind == DT_STRING:
        values = [str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in values]
    texts = [v for v in values if isinstance(v, str | bytes)]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(texts) == len(values) and kind != DT_FLOAT:
        return Feature(bytes_list=BytesList(value=[as_bytes(v, where) for v in texts]))
    if len(numbers) == len(values) and kind != DT_STRING:
        if not all(abs(v) <= _MAX_FLOAT32 for v in numbers):
            raise RequestError(f"{where} must be within float32's range. Received: {str(value)[:100]}")
        return Feature(float_list=FloatList(value=numbers))
    raise RequestError(f"{where} must be {_ALLOWED.get(kind, _ALLOWED[None])}. Received: {str(value)[:100]!r}")


def as_bytes(text: str | bytes, where: str) -> bytes:
    """Encodes a string in UTF-8; raises RequestError if that is impossible."""
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"{where} must be a text that UTF-8 has. Received: {text[:100]!r}") from error
