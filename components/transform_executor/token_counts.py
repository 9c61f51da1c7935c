"""Counts the tokens of vocabularies in columns, and orders a vocabulary as tf.Transform 1.21.0 does.

A table of counts has a row for each distinct token: its hash, the token and its count, sorted by hash and, where the
hashes are equal, by token. Its file has a batch for each of `NUM_RANGES` ranges of hashes. So files are added up range
by range, and what does not fit into memory is written to files meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transform.errors import InputError

_SCHEMA = pa.schema([("hash", pa.int64()), ("token", pa.large_binary()), ("count", pa.int64())])

_KEPT = ["token", "count"]

#: Hashes are below it: those of `tf.strings.to_hash_bucket_fast` with this number of buckets.
HASH_BUCKETS = 2**63 - 1

#: The ranges of hashes, all of one size. Of 100 million rows, a range has 1.6 million, or some 90 MB.
NUM_RANGES = 64

#: The bytes of rows that are kept in memory, and twice as much while they are sorted: a million rows of 40 bytes each.
_BYTES_AT_ONCE = 1 << 26

#: Temporary files of a counter; when there are as many, they are merged into one. Each takes a file descriptor.
_MAX_FILES = 64

#: Makes the files a fourth as large; compressing takes half as long as adding up.
_COMPRESSED = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1))

#: What tf.Transform 1.21.0 writes for a vocabulary without a token: `analyzers.get_empy_vocabulary_dummy_value`.
EMPTY_VOCABULARY = b"49d0cd50-04bb-48c0-bc6f-5b575dce351a"


class TokenCounter:
    """Adds up the counts of tokens, batch by batch, with at most `_BYTES_AT_ONCE` and a batch in memory.

    Args:
      scratch: The path of temporary files, to which a number is added; its folder exists.
    """

    def __init__(self, scratch: str) -> None:
        self._scratch = scratch
        self._pending: list[pa.Table] = []
        self._bytes = 0
        self._files: list[str] = []
        self._numbers = itertools.count()

    def add(self, joined: bytes, lengths: np.ndarray, hashes: np.ndarray, counts: np.ndarray) -> None:
        """Adds a batch.

        Args:
          joined: Its distinct tokens, one behind the other.
          lengths: The number of bytes of each, int32 `[n]`.
          hashes: The hash of each, int64 `[n]`.
          counts: How often each occurs, int64 `[n]`.
        """
        columns = [pa.array(hashes), _texts(joined, lengths), pa.array(counts)]
        self._pending.append(pa.table(columns, schema=_SCHEMA))
        self._bytes += self._pending[-1].nbytes
        if self._bytes >= _BYTES_AT_ONCE:
            self._pending = [summed(self._pending)]
            self._bytes = self._pending[0].nbytes
            if self._bytes > _BYTES_AT_ONCE // 2:  # with fewer, most tokens repeat, and are added up in memory
                self._write_file(_by_range(self._pending[0]))
                self._pending, self._bytes = [], 0
            if len(self._files) >= _MAX_FILES:
                earlier, self._files = self._files, []
                with _opened(earlier) as files:
                    self._write_file(merged(files))
                _remove(earlier)

    def _write_file(self, parts: Iterable[pa.Table]) -> None:
        self._files.append(f"{self._scratch}-{next(self._numbers)}")
        _write(parts, self._files[-1])

    def write(self, path: str) -> None:
        """Writes the counts of all batches to a file, and removes the temporary files."""
        pending = _by_range(summed(self._pending))
        with _opened(self._files) as files:
            _write((summed([*parts, part]) for *parts, part in zip(*map(_parts, files), pending, strict=True)), path)
        _remove(self._files)


def _texts(joined: bytes, lengths: npt.NDArray[np.int32]) -> pa.Array:
    """Returns texts as large_binary `[n]`, given all of them, one behind the other, and the number of bytes of each."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return pa.Array.from_buffers(pa.large_binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(joined)])


def summed(tables: Iterable[pa.Table]) -> pa.Table:
    """Returns each token of some tables once, with the sum of its counts, sorted; the tables need not be sorted."""
    whole = pa.concat_tables([_SCHEMA.empty_table(), *tables]).combine_chunks()
    if not whole.num_rows:
        return whole
    hashes, tokens = whole["hash"].to_numpy(), whole["token"].chunk(0)
    order = np.argsort(hashes)
    begins = _changes(hashes[order])
    if not _repeat(tokens, order, begins):  # two tokens have the same hash
        order = pc.sort_indices(whole, [("hash", "ascending"), ("token", "ascending")]).to_numpy()
        in_order = tokens.take(pa.array(order))
        begins = _changes(hashes[order])
        begins[1:] |= pc.not_equal(in_order[1:], in_order[:-1]).to_numpy(zero_copy_only=False)
    firsts = np.flatnonzero(begins)
    counts = np.add.reduceat(whole["count"].to_numpy()[order], firsts)
    return pa.table([hashes[order[firsts]], tokens.take(pa.array(order[firsts])), counts], schema=_SCHEMA)


def _changes(values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Where a value is not the one before it, bool `[n]`; the first always."""
    return np.concatenate([[True], values[1:] != values[:-1]])


def _repeat(tokens: pa.Array, order: npt.NDArray[np.int64], begins: npt.NDArray[np.bool_]) -> bool:
    """Whether each token, in an order, equals the last one before it at which something begins."""
    repeated = np.flatnonzero(~begins)
    firsts = np.flatnonzero(begins)[np.cumsum(begins)[repeated] - 1]
    pairs = (tokens.take(pa.array(order[places])) for places in (repeated, firsts))
    return bool(pc.all(pc.equal(*pairs), min_count=0).as_py())


def _by_range(table: pa.Table) -> list[pa.Table]:
    """Splits a sorted table into the ranges of hashes."""
    limits = [HASH_BUCKETS * number // NUM_RANGES for number in range(1, NUM_RANGES)]
    ends = np.searchsorted(table["hash"].to_numpy(), limits).tolist()
    return [table.slice(begin, end - begin) for begin, end in itertools.pairwise([0, *ends, table.num_rows])]


class CountsFile(contextlib.AbstractContextManager["CountsFile"]):
    """A file of counts, mapped into memory; one range is read at a time.

    Args:
      path: The file.

    Raises:
      InputError: If it is damaged, or has other ranges.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with self._readable():
            self._file = pa.memory_map(path)
            self._reader = pa.ipc.open_file(self._file)
        number = self._reader.num_record_batches
        if number != NUM_RANGES:
            raise InputError(f"a file of token counts must have {NUM_RANGES} ranges. Received: {number} ({path})")

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def range(self, number: int) -> pa.Table:
        """Returns the rows of a range of hashes, from 0 to `NUM_RANGES` - 1."""
        with self._readable():
            return pa.Table.from_batches([self._reader.get_batch(number)])

    def check(self) -> None:
        """Reads all ranges; raises InputError if one is damaged."""
        for number in range(NUM_RANGES):
            part = self.range(number)
            with self._readable():
                part.validate(full=True)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"a file of token counts must be readable. Received: {error} ({self._path})") from error


@contextlib.contextmanager
def _opened(paths: Iterable[str]) -> Iterator[list[CountsFile]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(CountsFile(path)) for path in paths]


def _remove(paths: Iterable[str]) -> None:
    for path in paths:
        os.remove(path)


def _parts(file: CountsFile) -> Iterator[pa.Table]:
    return map(file.range, range(NUM_RANGES))


def merged(files: Sequence[CountsFile]) -> Iterator[pa.Table]:
    """Yields each token of some files once, with the sum of its counts: a sorted table for each range of hashes."""
    return map(summed, zip(*map(_parts, files), strict=True))


def merge_files(paths: Sequence[str], path: str) -> None:
    """Adds files up into one, `_MAX_FILES` at a time.

    Args:
      paths: The files, which are removed.
      path: The new file; a number is added for temporary ones.
    """
    numbers, left = itertools.count(), list(paths)
    while left:
        some, left = left[:_MAX_FILES], left[_MAX_FILES:]
        target = path
        if left:
            target = f"{path}-{next(numbers)}"
            left.append(target)
        with _opened(some) as files:
            _write(merged(files), target)
        _remove(some)


def _write(parts: Iterable[pa.Table], path: str) -> None:
    """Writes the tables of all ranges of hashes to a file."""
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, _SCHEMA, options=_COMPRESSED) as writer:
        for part in parts:
            columns = [column.combine_chunks() for column in part.columns]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))


@dataclasses.dataclass(frozen=True)
class Pruning:
    """Which tokens a vocabulary keeps.

    Attributes:
      min_count: A token must occur at least this often.
      max_size: The maximum number of tokens, those with the highest counts, and of equal counts those with the greatest
        bytes; None keeps all.
    """

    min_count: float
    max_size: int | None

    def frequent(self, counted: pa.Table) -> pa.Table:
        """Returns the tokens that occur often enough, and their counts."""
        return counted.select(_KEPT).filter(pc.greater_equal(counted["count"], self.min_count))

    def kept(self, frequent: Sequence[pa.Table]) -> pa.Array:
        """Returns the tokens to keep, large_binary `[any]`, of tables that `frequent` returned.

        The tokens with the highest counts come first, and of equal counts those with the greatest bytes.
        """
        whole = pa.concat_tables([_SCHEMA.empty_table().select(_KEPT), *frequent])
        order = pc.sort_indices(whole, [("count", "descending"), ("token", "descending")])
        tokens = whole["token"].take(order[: self.max_size]).combine_chunks()
        # A vocabulary with a maximum size gets its stand-in before the reserved tokens are added, others afterwards.
        return _tokens([EMPTY_VOCABULARY]) if self.max_size is not None and not len(tokens) else tokens


def ordered(kept: pa.Array, reserved: Sequence[bytes]) -> pa.ChunkedArray:
    """Returns a vocabulary: the reserved tokens in their order, then the others; never empty."""
    first = _tokens(reserved)
    others = kept.filter(pc.invert(pc.is_in(kept, first)))
    tokens = pa.chunked_array([first, others])
    return tokens if len(tokens) else pa.chunked_array([_tokens([EMPTY_VOCABULARY])])


def _tokens(tokens: Sequence[bytes]) -> pa.Array:
    return pa.array(tokens, pa.large_binary())
