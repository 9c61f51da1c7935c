"""Features as a store has them to a tf.Example as the model reads it: texts are categories, numbers are numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import types_pb2

from serving.ranking_client.errors import RequestError

Scalar: TypeAlias = str | bytes | int | float
#: None and an empty list are a missing value.
Value: TypeAlias = Scalar | Sequence[Scalar] | None
Features: TypeAlias = Mapping[str, Value]

#: What kind of tensor a feature is, where the model tells: DT_STRING or DT_FLOAT.
Kinds: TypeAlias = Mapping[str, int]

#: What a feature of a kind may be; None: the kind is not known.
_ALLOWED = {
    None: "a text, a number, or a list of either",
    types_pb2.DT_STRING: "a text, an integer, or a list of them",
    types_pb2.DT_FLOAT: "a number, or a list of numbers",
}

_MAX_FLOAT32 = (2 - 2**-23) * 2.0**127


def encode_example(features: Features | bytes, what: str, max_bytes: int, kinds: Kinds | None = None) -> bytes:
    """Makes a tf.Example.

    Args:
      features: By name, a value, a list of values, or None; or the tf.Example, serialized.
      what: What the features are of, for errors.
      max_bytes: The longest tf.Example allowed.
      kinds: By name, the feature's kind. An integer for a category becomes its digits; without a kind it is a number.

    Returns:
      The serialized tf.Example.

    Raises:
      RequestError: If a value is of no kind that a feature has, or the example is too long.
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
        example = example_pb2.Example(features=feature_pb2.Features(feature=entries))
        serialized = example.SerializeToString()
    if len(serialized) > max_bytes:
        raise RequestError(f"{what} must have at most {max_bytes:,} bytes. Received: {len(serialized):,}")
    return serialized


def _entry(value: Value, kind: int | None, where: str) -> feature_pb2.Feature | None:
    values = list(value) if isinstance(value, list | tuple) else [value]
    if value is None or not values:
        return None
    if kind == types_pb2.DT_STRING:
        values = [str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in values]
    texts = [v for v in values if isinstance(v, str | bytes)]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(texts) == len(values) and kind != types_pb2.DT_FLOAT:
        return feature_pb2.Feature(bytes_list=feature_pb2.BytesList(value=[as_bytes(v, where) for v in texts]))
    if len(numbers) == len(values) and kind != types_pb2.DT_STRING:
        if not all(abs(v) <= _MAX_FLOAT32 for v in numbers):
            raise RequestError(f"{where} must be within float32's range. Received: {str(value)[:100]}")
        return feature_pb2.Feature(float_list=feature_pb2.FloatList(value=numbers))
    raise RequestError(f"{where} must be {_ALLOWED.get(kind, _ALLOWED[None])}. Received: {str(value)[:100]!r}")


def as_bytes(text: str | bytes, where: str) -> bytes:
    """A text in UTF-8; raises RequestError if it has none."""
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"{where} must be a text that UTF-8 has. Received: {text[:100]!r}") from error
