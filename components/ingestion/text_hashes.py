"""Hashes of texts by their bytes, the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.splitmix import mixed

#: The texts that are hashed at once: their arrays, some 40 bytes for each byte of text, stay in the processor's cache.
_HASHED_AT_ONCE = 4096


def hashes_of_texts(texts: pa.Array) -> npt.NDArray[np.uint64]:
    """Returns a hash of each text's bytes, uint64 `[len(texts)]`; that of a null means nothing."""
    hashes = np.empty(len(texts), np.uint64)
    for start in range(0, len(texts), _HASHED_AT_ONCE):
        some = texts.slice(start, _HASHED_AT_ONCE).cast(pa.large_binary())
        hashes[start : start + len(some)] = _hashes(some)
    return hashes


def _hashes(texts: pa.Array) -> npt.NDArray[np.uint64]:
    offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    positions = (np.arange(len(data)) - np.repeat(offsets[:-1], np.diff(offsets))).astype(np.uint64)
    terms = mixed(positions * np.uint64(256) + data)
    sums = np.concatenate([[np.uint64(0)], np.cumsum(terms, dtype=np.uint64)])
    return mixed(sums[offsets[1:]] - sums[offsets[:-1]])
