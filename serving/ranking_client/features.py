"""A request's features and candidates, as the caller passes them and as they are sent.

Features are sent as the tf.Example that the model reads: strings are categories, numbers are numeric.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from serving.ranking_client.errors import RequestError
from serving.ranking_client.protos import DT_FLOAT, DT_STRING, BytesList, Example, Feature, FloatList
from serving.ranking_client.protos import Features as FeaturesMessage
from serving.ranking_client.settings import ClientSettings

Scalar: TypeAlias = str | bytes | int | float
#: None and an empty list are a missing value.
Value: TypeAlias = Scalar | Sequence[Scalar] | None
Features: TypeAlias = Mapping[str, Value]

#: An item id, or an id and the item's features, as a mapping or a serialized tf.Example.
Candidate: TypeAlias = str | tuple[str, Features | bytes]

#: By feature name, its tensor's dtype, where the model's signatures give it: DT_STRING or DT_FLOAT.
Kinds: TypeAlias = Mapping[str, int]

#: The values allowed, by dtype; None if the dtype is unknown.
_ALLOWED = {
    None: "a text, a number, or a list of either",
    DT_STRING: "a text, an integer, or a list of them",
    DT_FLOAT: "a number, or a list of numbers",
}

#: The longest item id, and the longest key of a user.
MAX_ID_BYTES = 1_000

_MAX_FLOAT32 = (2 - 2**-23) * 2.0**127


def encode_example(features: Features | bytes, what: str, max_bytes: int, kinds: Kinds | None = None) -> bytes:
    """Serializes features as a tf.Example.

    Args:
      features: By name, a value, a list of values, or None; or an already serialized tf.Example.
      what: What the features describe, for error messages.
      max_bytes: The longest tf.Example allowed.
      kinds: By name, the feature's dtype. An integer for a DT_STRING feature becomes its decimal digits; without a
        known dtype it is a number.

    Raises:
      RequestError: If a value is of a type that the feature does not take, a text or name is none that UTF-8 has, or
        the example is too long.
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
        try:
            example = Example(features=FeaturesMessage(feature=entries))
        except UnicodeEncodeError:
            for name in entries:
                as_bytes(name, f"the name of a feature of {what}")
            raise
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


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Candidates in the caller's order.

    Attributes:
      ids: The item ids in UTF-8.
      items: Each candidate's features as a serialized tf.Example; empty if the caller gave none.
      names: The names of all candidates' features that are not serialized already.
    """

    ids: tuple[bytes, ...]
    items: tuple[bytes, ...]
    names: frozenset[str] = frozenset()

    def parts(self, size: int | None) -> Iterator[Candidates]:
        """Splits the candidates into the fewest parts of at most `size`, nearly equal in size; None makes one part."""
        number = -(-len(self.ids) // (size or len(self.ids)))
        bounds = [round(i * len(self.ids) / number) for i in range(number + 1)]
        for start, end in itertools.pairwise(bounds):
            yield Candidates(self.ids[start:end], self.items[start:end])


def encode_candidates(candidates: Sequence[Candidate], settings: ClientSettings) -> Candidates:
    """Checks and encodes candidates: item ids, or pairs of an id and item features.

    Raises:
      RequestError: If there are none or too many, or one is invalid.
    """
    if isinstance(candidates, str | bytes):
        raise RequestError(f"candidates must be a list of item ids. Received: {candidates[:100]!r}")
    if not 1 <= len(candidates) <= settings.max_candidates:
        raise RequestError(f"candidates must be 1 to {settings.max_candidates:,}. Received: {len(candidates):,}")
    ids, items, names = [], [], set[str]()
    for number, candidate in enumerate(candidates):
        item_id, features = candidate if isinstance(candidate, tuple) else (candidate, b"")
        if not isinstance(item_id, str):
            raise RequestError(f"candidate {number} must be an item id, a text. Received: {str(item_id)[:100]}")
        try:  # the place is written for an error only: 200 texts take 15 us
            encoded = item_id.encode()
        except UnicodeEncodeError:
            encoded = as_bytes(item_id, f"candidate {number}")
        if not 1 <= len(encoded) <= MAX_ID_BYTES:
            rule = f"candidate {number}'s id must have 1 to {MAX_ID_BYTES:,} bytes"
            raise RequestError(f"{rule}. Received: {len(encoded):,}")
        ids.append(encoded)
        item = b""
        if features:
            item = encode_example(features, f"candidate {number}'s item", settings.max_example_bytes)
            names.update(() if isinstance(features, bytes) else features)
        items.append(item)
    return Candidates(tuple(ids), tuple(items), frozenset(names))
