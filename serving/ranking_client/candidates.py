"""A request's candidates, as the caller passes them and as they are sent."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from serving.ranking_client.errors import RequestError
from serving.ranking_client.features import Features, as_bytes, encode_example
from serving.ranking_client.settings import ClientSettings

#: An item id, or an id and the item's features, as a mapping or a serialized tf.Example.
Candidate: TypeAlias = str | tuple[str, Features | bytes]

_MAX_ID_BYTES = 1_000


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Candidates in the caller's order.

    Attributes:
      ids: The item ids in UTF-8.
      items: Each candidate's features as a serialized tf.Example; empty if the caller gave none.
    """

    ids: tuple[bytes, ...]
    items: tuple[bytes, ...]

    def parts(self, size: int | None) -> Iterator[Candidates]:
        """Splits the candidates into the fewest parts of at most `size`, nearly equal in size; None makes one part."""
        number = -(-len(self.ids) // (size or len(self.ids)))
        bounds = [round(i * len(self.ids) / number) for i in range(number + 1)]
        for start, end in itertools.pairwise(bounds):
            yield Candidates(self.ids[start:end], self.items[start:end])


def encode_candidates(candidates: Sequence[Candidate], settings: ClientSettings) -> Candidates:
    """Checks and encodes candidates.

    Args:
      candidates: Item ids, or pairs of an id and item features.
      settings: The limits.

    Returns:
      The candidates.

    Raises:
      RequestError: If there are none or too many, or one is invalid.
    """
    if isinstance(candidates, str | bytes):
        raise RequestError(f"candidates must be a list of item ids. Received: {candidates[:100]!r}")
    if not 1 <= len(candidates) <= settings.max_candidates:
        raise RequestError(f"candidates must be 1 to {settings.max_candidates:,}. Received: {len(candidates):,}")
    ids, items = [], []
    for number, candidate in enumerate(candidates):
        where = f"candidate {number}"
        item_id, features = candidate if isinstance(candidate, tuple) else (candidate, b"")
        if not isinstance(item_id, str):
            raise RequestError(f"{where} must be an item id, a text. Received: {str(item_id)[:100]}")
        encoded = as_bytes(item_id, where)
        if not 1 <= len(encoded) <= _MAX_ID_BYTES:
            raise RequestError(f"{where}'s id must have 1 to {_MAX_ID_BYTES:,} bytes. Received: {len(encoded):,}")
        ids.append(encoded)
        items.append(features and encode_example(features, f"{where}'s item", settings.max_example_bytes))
    return Candidates(tuple(ids), tuple(item or b"" for item in items))
