"""Finds, for each row of a new table or of the first layer, the old row that represents the same thing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from trainer.wide_deep.tables import InputBlock, RowKeys
from transform.combinations import CROSS_SEPARATOR
from transform.files.tokens import Tokens, rows_of


@dataclasses.dataclass(frozen=True)
class RowMatch:
    """Which old rows a new table's rows start from.

    Attributes:
      new_rows: int64 `[copied]`: the new table's rows that start as copies.
      old_rows: int64 `[copied]`: the old rows that they copy.
      mean_of: int64 `[groups, any]`: the old rows whose mean initializes each row of the same group in `mean_for`.
      mean_for: int64 `[groups, any]`: the new table's rows that start from a mean.
      why: What did not match and why; empty if everything matched.
    """

    new_rows: np.ndarray
    old_rows: np.ndarray
    mean_of: np.ndarray
    mean_for: np.ndarray
    why: str = ""

    @property
    def num_transferred(self) -> int:
        """The number of new rows that start from old ones."""
        return self.new_rows.size + self.mean_for.size

    @property
    def used_rows(self) -> np.ndarray:
        """The old rows that new ones start from, each once, ascending."""
        is_used = np.zeros(1 + max(self.old_rows.max(initial=-1), self.mean_of.max(initial=-1)), bool)
        is_used[self.old_rows] = is_used[self.mean_of] = True
        return np.flatnonzero(is_used)


_NONE = np.zeros(0, np.int64)


def copied_rows(new_rows: np.ndarray, old_rows: np.ndarray, why: str = "") -> RowMatch:
    """A match that consists of copies only; arguments as in `RowMatch`."""
    return RowMatch(new_rows, old_rows, _NONE.reshape(0, 0), _NONE.reshape(0, 0), why)


def no_rows(why: str) -> RowMatch:
    """A match without any rows."""
    return copied_rows(_NONE, _NONE, why)


def match_blocks(old: Sequence[InputBlock], new: Sequence[InputBlock], derived_anew: Collection[str] = ()) -> RowMatch:
    """Matches the rows of the first layer's kernel, one per input column, feature by feature.

    Args:
      old: The old model's input blocks.
      new: The new model's input blocks.
      derived_anew: The features whose `derive` changed, of which no row is matched.

    Returns:
      The match. For a feature whose width changed, it has the first columns, as many as both models have.
    """
    ends = np.cumsum([block.width for block in old])
    places = {_without_width(block): (end - block.width, block.width) for block, end in zip(old, ends, strict=True)}
    new_rows, old_rows, missing, start = [], [], [], 0
    for block in new:
        is_same = block.feature not in derived_anew
        old_start, old_width = places.get(_without_width(block), (0, 0)) if is_same else (0, 0)
        columns = np.arange(min(block.width, old_width))
        new_rows.append(start + columns)
        old_rows.append(old_start + columns)
        if not columns.size:
            missing.append(block.feature)
        start += block.width
    kept = {_without_width(block) for block in new}
    gone = [block.feature for block in old if _without_width(block) not in kept]
    scales = {block.feature: block.scale for block in old if block.vocabulary is None}
    rescaled = [b.feature for b in new if b.vocabulary is None and scales.get(b.feature, b.scale) != b.scale]
    rederived = [block.feature for block in new if block.feature in derived_anew]
    reported = {*rescaled, *rederived}
    missing, gone = ([name for name in names if name not in reported] for names in (missing, gone))
    why = [f"new inputs {missing}"] if missing else []
    if gone:
        why.append(f"inputs gone {gone}")
    if rescaled:
        why.append(f"inputs whose `scale` changed {rescaled}")
    if rederived:
        why.append(f"inputs whose `derive` changed {rederived}")
    return copied_rows(np.concatenate(new_rows), np.concatenate(old_rows), "; ".join(why))


def match_quantiles(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Matches quantiles by position: each new quantile with the old one that contains its middle.

    The middle is computed on ranks: an old boundary's rank is its number; between boundaries, ranks are interpolated
    linearly.

    Args:
      old: The old boundaries, ascending, floats `[n_old - 1]`; they may repeat.
      new: The new ones, `[n_new - 1]`.

    Returns:
      The old quantile of each new one, int64 `[n_new]`.
    """
    if np.array_equal(old, new):
        return np.arange(new.size + 1)
    n = old.size + 1
    ranks = np.arange(1, n)
    # Among equal boundaries, a quantile starts at the last one and ends at the first one.
    starts = np.interp(new, old, ranks, left=0.5, right=n - 0.5)
    ends = n - np.interp(-new, -old[::-1], ranks, left=0.5, right=n - 0.5)
    middles: np.ndarray = (np.append(0, starts) + np.append(ends, n)) / 2
    return middles.astype(np.int64)


def match_rows(
    old: RowKeys,
    new: RowKeys,
    old_size: int,
    new_size: int,
    old_tokens: Sequence[bytes] = (),
    new_tokens: Sequence[bytes] = (),
    old_quantiles: Mapping[str, np.ndarray] | None = None,
) -> RowMatch:
    """Matches two tables' rows.

    Tokens and the keys of counted crosses are matched by their bytes, whatever their rows are. A quantile, as a row or
    as part of a key, is matched by its position (`match_quantiles`). An out-of-vocabulary or hash bucket is matched by
    the values that can fall into it; hash buckets only if one of the two bucket numbers divides the other. The row of a
    missing number, after the rows of its quantiles, is matched with the old table's.

    Args:
      old: What the old rows represent.
      new: What the new rows represent.
      old_size: The number of old rows.
      new_size: The number of new rows.
      old_tokens: The old vocabulary, if the keys are of kind `vocabulary`.
      new_tokens: The new vocabulary, if the keys are of kind `vocabulary`.
      old_quantiles: The old quantile of each new one, by numeric feature; required for those in `new.quantiles`.
    """
    if old.kind != new.kind:
        return no_rows(f"the rows stood for {old.kind} and now stand for {new.kind}")
    if old.quantiles.keys() != new.quantiles.keys():
        return no_rows(f"the numeric features changed from {sorted(old.quantiles)} to {sorted(new.quantiles)}")
    # A missing value counts as one additional quantile.
    old_quantiles = {name: np.append((old_quantiles or {})[name], old.quantiles[name]) for name in new.quantiles}
    if new.kind in ("share", "rows"):
        if old_size != new_size:
            return no_rows(f"the number of buckets changed from {old_size} to {new_size}")
        return copied_rows(np.arange(new_size), np.arange(old_size))
    if new.kind == "quantiles":
        ((_, rows),) = old_quantiles.items()
        return copied_rows(np.arange(rows.size), rows)
    if new.kind == "hash":
        if old.quantiles != new.quantiles:
            return no_rows(f"the crossed features' quantiles changed from {old.quantiles} to {new.quantiles}")
        if old_size % new_size and new_size % old_size:
            return no_rows(f"the number of hash buckets changed from {old_size} to {new_size}")
        return _match_buckets(0, old_size, 0, new_size)
    keys = _with_old_quantiles(new_tokens, new.features, old_quantiles)
    return _match_tokens(old.oov_buckets, new.oov_buckets, old_tokens, keys)


def _without_width(block: InputBlock) -> InputBlock:
    return dataclasses.replace(block, width=0)


def _with_old_quantiles(
    tokens: Sequence[bytes], features: Sequence[str], old_quantiles: Mapping[str, np.ndarray]
) -> Sequence[bytes]:
    """A cross's keys, with each quantile number replaced by the matching old quantile's number."""
    moved = [
        (features.index(name), rows)
        for name, rows in old_quantiles.items()
        if not np.array_equal(rows, np.arange(rows.size))
    ]
    if not moved:
        return tokens
    separator = CROSS_SEPARATOR.encode()
    keys = []
    for token in tokens:
        parts = token.split(separator)
        if len(parts) == len(features):  # else a value contains the separator, and the key cannot be translated
            for place, rows in moved:
                parts[place] = str(rows[int(parts[place])]).encode()
        keys.append(separator.join(parts))
    return keys


def _match_tokens(old_oov: int, new_oov: int, old_tokens: Sequence[bytes], new_tokens: Sequence[bytes]) -> RowMatch:
    found = rows_of(Tokens.of(old_tokens), Tokens.of(new_tokens))
    new_rows = np.flatnonzero(found >= 0)
    old_rows = found[new_rows]
    del found  # of a large table, each array has 80 MB
    if not old_oov or not new_oov:  # a counted cross has no buckets
        return copied_rows(new_rows, old_rows)
    buckets = _match_buckets(len(old_tokens), old_oov, len(new_tokens), new_oov)
    why = f"the out-of-vocabulary buckets changed from {old_oov} to {new_oov}: a new one starts from old ones' mean"
    return dataclasses.replace(
        buckets,
        new_rows=np.append(new_rows, buckets.new_rows),
        old_rows=np.append(old_rows, buckets.old_rows),
        why=why if buckets.mean_for.size else "",
    )


def _match_buckets(old_start: int, old_number: int, new_start: int, new_number: int) -> RowMatch:
    """Matches two ranges of buckets, into which tokens fall by their hash modulo the number of buckets.

    A new bucket's tokens were in the old buckets that are congruent to it modulo the two numbers' greatest common
    divisor: in a single old bucket if the old number divides the new one.
    """
    new_rows = new_start + np.arange(new_number)
    if new_number % old_number == 0:
        return copied_rows(new_rows, old_start + np.arange(new_number) % old_number)
    divisor = math.gcd(old_number, new_number)
    old_groups = old_start + np.arange(old_number).reshape(-1, divisor).T
    return RowMatch(_NONE, _NONE, old_groups, new_rows.reshape(-1, divisor).T)
