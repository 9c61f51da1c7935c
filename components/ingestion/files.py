"""Opens a source's file and checks its columns."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transform.errors import InputError


def open_file(path: str) -> BinaryIO:
    """Opens a file on any file system that Beam supports; decompresses it if its name ends in `.gz`."""
    raw = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    if path.endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 20)
    return raw  # type: ignore[no-any-return]


def check_unique(names: Sequence[str], path: str) -> None:
    """Raises InputError if a file names a column twice."""
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"the file names columns twice: {twice} ({path})")


def check_columns(found: Sequence[str], columns: Sequence[str], path: str) -> None:
    """Raises InputError if a file lacks a column."""
    missing = [name for name in columns if name not in found]
    if missing:
        hint = "; is the delimiter right?" if len(found) == 1 else ""
        raise InputError(f"the columns {missing} are missing. Received: {list(found)[:50]}{hint} ({path})")


class Contents(NamedTuple):
    """The SHA-256 and the line count of a file's decompressed bytes; a last line without a newline counts."""

    sha256: str
    num_lines: int


def contents_of(path: str) -> Contents:
    """Computes a file's checksum and line count from its bytes, independently of the reader of its rows."""
    number, end = 0, b"\n"
    digest = hashlib.sha256()
    with open_file(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            number += block.count(b"\n")
            end = block[-1:]
    return Contents(digest.hexdigest(), number + (end != b"\n"))
