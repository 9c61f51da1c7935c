"""Finds, for each row of a new table, the row of an old table that stands for the same thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from trainer.tables import RowKeys


@dataclasses.dataclass(frozen=True)
class RowMatch:
    """Where a new table's rows come from.

    Attributes:
      new_rows: int64 `[kept]`: rows of the new table that have an old row.
      old_rows: int64 `[kept]`: those old rows.
      mean_of: int64 `[any]`: old rows whose mean starts each row of `mean_for`.
      mean_for: int64 `[any]`: rows of the new table that start from a mean.
      why: What did not match and why; empty if all of it did.
    """

    new_rows: np.ndarray
    old_rows: np.ndarray
    mean_of: np.ndarray
    mean_for: np.ndarray
    why: str = ""


_NONE = np.zeros(0, np.int64)


def _no_match(why: str) -> RowMatch:
    return RowMatch(_NONE, _NONE, _NONE, _NONE, why)


def match_rows(
    old: RowKeys,
    new: RowKeys,
    old_size: int,
    new_size: int,
    old_tokens: Sequence[bytes] = (),
    new_tokens: Sequence[bytes] = (),
) -> RowMatch:
    """Matches two tables' rows.

    Tokens are matched by their bytes, wherever they stand. Out-of-vocabulary rows are matched by bucket if their number
    is equal, as a token then falls into the same bucket; else each new one starts from the mean of the old ones. Hash
    buckets and quantiles are matched by number, all or none.

    Args:
      old: What the old rows stand for.
      new: What the new rows stand for.
      old_size: The number of old rows.
      new_size: The number of new rows.
      old_tokens: The old vocabulary, with `vocabulary` keys.
      new_tokens: The new vocabulary, with `vocabulary` keys.

    Returns:
      The match.
    """
    if old.kind != new.kind:
        return _no_match(f"the rows stood for {old.kind} and now stand for {new.kind}")
    if old.quantiles != new.quantiles:
        return _no_match(f"the crossed features' quantiles changed from {old.quantiles} to {new.quantiles}")
    if new.kind != "vocabulary":
        if old_size != new_size:
            return _no_match(
                f"the number of {'hash buckets' if new.kind == 'hash' else 'quantiles'} "
                f"changed from {old_size} to {new_size}"
            )
        rows = np.arange(new_size, dtype=np.int64)
        return RowMatch(rows, rows, _NONE, _NONE)
    if old.vocabulary != new.vocabulary:
        return _no_match(f"the vocabulary of `{old.vocabulary}` was replaced by that of `{new.vocabulary}`")
    return _match_tokens(old.oov_buckets, new.oov_buckets, old_tokens, new_tokens)


def _match_tokens(old_oov: int, new_oov: int, old_tokens: Sequence[bytes], new_tokens: Sequence[bytes]) -> RowMatch:
    row_of = {token: row for row, token in enumerate(old_tokens)}
    found = np.fromiter((row_of.get(token, -1) for token in new_tokens), np.int64, len(new_tokens))
    new_rows = np.flatnonzero(found >= 0)
    old_rows = found[new_rows]
    old_buckets = np.arange(len(old_tokens), len(old_tokens) + old_oov, dtype=np.int64)
    new_buckets = np.arange(len(new_tokens), len(new_tokens) + new_oov, dtype=np.int64)
    if old_oov == new_oov:
        return RowMatch(np.append(new_rows, new_buckets), np.append(old_rows, old_buckets), _NONE, _NONE)
    why = (
        f"the out-of-vocabulary buckets changed from {old_oov} to {new_oov}: the new ones start from the old ones' mean"
    )
    return RowMatch(new_rows, old_rows, old_buckets, new_buckets, why)
