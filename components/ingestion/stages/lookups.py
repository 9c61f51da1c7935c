"""Ingestion's joins as lookups of keys: tables, labels from installs, and labels that several impressions share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.ingestion.formats.blocks import Mask
from components.ingestion.text_hashes import hashes_of_texts

Positions = npt.NDArray[Any]
Times = npt.NDArray[np.float64]


def join_keys(columns: Sequence[pa.ChunkedArray]) -> pa.Array:
    """Returns one text for each row's keys, different for different keys; the keys must not be null.

    Args:
      columns: The columns with the keys, texts.

    Returns:
      Texts as large_string: those of a whole log may exceed 2 GiB.
    """
    pieces: list[pa.Array] = []
    for at, column in enumerate(columns):
        array = column.cast(pa.large_string()).combine_chunks()
        if at < len(columns) - 1:  # the length says where the key ends
            pieces += [pc.binary_length(array).cast(pa.large_string()), pa.scalar(":", pa.large_string())]
        pieces.append(array)
    return pieces[0] if len(pieces) == 1 else pc.binary_join_element_wise(*pieces, pa.scalar("", pa.large_string()))


def find_positions(keys: pa.Array, among: pa.Array) -> Positions:
    """Returns the position of each key among others of its type, of which none occurs twice; -1 where there is none.

    Arrow hashes the `value_set` in each call. A part of few rows reads a whole table, but does not hash it: the smaller
    side is hashed.
    """
    if len(among) <= len(keys):
        return np.asarray(pc.fill_null(pc.index_in(keys, value_set=among), -1), np.int64)
    encoded = keys.dictionary_encode()
    codes = np.asarray(pc.fill_null(pc.index_in(among, value_set=encoded.dictionary), -1), np.int64)
    (found,) = np.nonzero(codes >= 0)
    locations = np.full(len(encoded.dictionary) + 1, -1, np.int64)  # the last one is that of a null
    locations[codes[found]] = found
    return locations[np.asarray(pc.fill_null(encoded.indices, -1), np.int64)]


class KeyIndex:
    """Keys, none of which occurs twice, in which the keys of many parts are looked up.

    `find_positions` reads all keys of a table for each part. Of a large table, the hashes of its keys are sorted once
    instead, and those of a part's keys are searched among them: then a part's cost hardly depends on the table's size.

    Args:
      keys: The keys, large_string, none of them null. They stay where they are, such as in a mapped file.
      indexed_from: The number of keys from which their hashes are sorted.
      hashes_of: The hash of each key, uint64; different keys may have the same one.
    """

    def __init__(
        self,
        keys: pa.Array,
        indexed_from: int = 1 << 18,
        hashes_of: Callable[[pa.Array], npt.NDArray[np.uint64]] = hashes_of_texts,
    ):
        self._keys, self._hashes_of = keys, hashes_of
        self._hashes: npt.NDArray[np.uint64] | None = None
        if len(keys) >= indexed_from:
            hashes = hashes_of(keys)
            self._positions = np.argsort(hashes)
            self._hashes = hashes[self._positions]

    def __len__(self) -> int:
        return len(self._keys)

    def positions(self, keys: pa.Array) -> Positions:
        """Returns the position of each key, int64 `[len(keys)]`; -1 where there is none, as for a null."""
        if self._hashes is None:
            return find_positions(keys, self._keys)
        found = np.full(len(keys), -1, np.int64)
        left = np.flatnonzero(np.asarray(keys.is_valid()))
        hashes = self._hashes_of(keys)[left]
        order = np.argsort(hashes)  # sorted hashes are searched faster
        left, hashes = left[order], hashes[order]
        locations = np.searchsorted(self._hashes, hashes)
        while len(left):  # once, and again for each key with the hash of a different one
            has_hash = locations < len(self._hashes)
            has_hash[has_hash] = self._hashes[locations[has_hash]] == hashes[has_hash]
            left, hashes, locations = left[has_hash], hashes[has_hash], locations[has_hash]
            positions = self._positions[locations]
            is_equal = np.asarray(pc.equal(self._keys.take(pa.array(positions)), keys.take(pa.array(left))), bool)
            found[left[is_equal]] = positions[is_equal]
            left, hashes, locations = left[~is_equal], hashes[~is_equal], locations[~is_equal] + 1
        return found


def find_firsts(keys: pa.Array) -> Positions:
    """Returns for each key the position of the first one that is equal."""
    codes = np.asarray(keys.dictionary_encode().indices, np.int64)
    if not len(codes):
        return codes
    before = np.concatenate([[-1], np.maximum.accumulate(codes)[:-1]])
    return np.flatnonzero(codes > before)[codes]  # codes are numbered in the order of their first places


class GroupedTimes:
    """Times by group, for questions about a group's times in an interval.

    Args:
      groups: The group of each time, from 0.
      times: The times.
    """

    def __init__(self, groups: Positions, times: Times):
        self._distinct = np.unique(times)
        self._base = len(self._distinct) + 1
        self._sorted = np.sort(self._rank(groups, np.searchsorted(self._distinct, times)))

    def _rank(self, groups: Positions, ranks: Positions) -> Positions:
        return groups * self._base + ranks

    def within(self, groups: Positions, earliest: Times, latest: Times) -> tuple[Positions, Positions]:
        """Returns for each interval, which includes its ends, the slice of its group's times in it.

        Positions count all times, sorted by group and time.
        """
        first = self._rank(groups, np.searchsorted(self._distinct, earliest, side="left"))
        after = self._rank(groups, np.searchsorted(self._distinct, latest, side="right"))
        return np.searchsorted(self._sorted, first), np.searchsorted(self._sorted, after)


class Labels(NamedTuple):
    """The labels of impressions.

    Attributes:
      labels: 1 where an install follows within the window.
      attributed: Of the installs, sorted by key and time: those that follow an impression.
      seen: Of the installs, sorted likewise: those with an impression of the same keys.
    """

    labels: npt.NDArray[np.int8]
    attributed: Mask
    seen: Mask


class InstallTimes:
    """Installs by their keys.

    Args:
      installs: The columns `key`, the keys of each install as one text, and `time`, in seconds since 1970.
    """

    def __init__(self, installs: pa.Table):
        encoded = installs["key"].combine_chunks().dictionary_encode()
        self._keys = KeyIndex(encoded.dictionary)
        self._groups = np.asarray(encoded.indices, np.int64)
        self._times = GroupedTimes(self._groups, np.asarray(installs["time"]))
        self._sorted_groups = np.sort(self._groups)

    def label(self, keys: pa.Array, shown: Times, before: float, after: float) -> Labels:
        """Labels impressions: 1 if an install with the same keys is in [time - `before`, time + `after`]."""
        groups = self._keys.positions(keys)
        has_group = groups >= 0
        labels = np.zeros(len(groups), np.int8)
        first, end = self._times.within(groups[has_group], shown[has_group] - before, shown[has_group] + after)
        end = np.maximum(first, end)
        labels[has_group] = first < end
        number = len(self._groups)
        steps = np.bincount(first, minlength=number + 1) - np.bincount(end, minlength=number + 1)
        is_seen = np.zeros(len(self._keys), bool)
        is_seen[groups[has_group]] = True
        return Labels(labels, np.cumsum(steps)[:number] > 0, is_seen[self._sorted_groups])


def sharing(keys: pa.Array, times: Times, is_eval: Mask, seconds: float) -> Mask:
    """Returns which training impressions can share their label with an evaluation impression.

    Args:
      keys: What is equal in impressions that can share a label.
      times: Their times; all equal where the time does not matter.
      is_eval: Which of them are for evaluation.
      seconds: The longest time between two impressions that can share a label.
    """
    groups = np.asarray(keys.dictionary_encode().indices, np.int64)
    evaluated = GroupedTimes(groups[is_eval], times[is_eval])
    first, end = evaluated.within(groups, times - seconds, times + seconds)
    return ~is_eval & (first < end)
