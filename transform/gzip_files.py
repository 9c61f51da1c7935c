"""Gzip files, read and written by ISA-L, which takes a fifth of zlib's processor time for a file of examples."""

from __future__ import annotations

import gzip
import zlib
from typing import IO, Any, cast

from isal import igzip, isal_zlib

#: What a damaged file raises; isal's stubs declare its error as an instance.
GZIP_ERRORS = (EOFError, OverflowError, gzip.BadGzipFile, cast("type[Exception]", isal_zlib.error))

#: Level 1 of ISA-L's 0 to 3; its files are smaller than those of zlib's level 1.
_LEVEL = 1

#: zlib's parameter for a gzip file; its header has no time of writing.
_WINDOW = 31


def decompressed(file: IO[bytes]) -> gzip.GzipFile:
    """Opens a gzip file's contents for reading; closing them leaves the file open."""
    return igzip.IGzipFile(fileobj=file)  # type: ignore[no-untyped-call]


def compressor() -> Any:
    """Returns an object like `zlib.compressobj`'s for a gzip file, of the same bytes for the same contents.

    On a processor of another architecture the bytes can be others.
    """
    return isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW)
