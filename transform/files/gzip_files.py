"""Gzip files, read and written by ISA-L: reading takes a third of zlib's processor time, and writing a fifth."""

from __future__ import annotations

import gzip
import zlib
from typing import IO, cast

from isal import igzip, isal_zlib

#: What a damaged file raises; isal's stubs declare its error as an instance.
GZIP_ERRORS = (EOFError, gzip.BadGzipFile, cast("type[Exception]", isal_zlib.error))

#: Level 1 of ISA-L's 0 to 3; its files are smaller than those of zlib's level 1.
_LEVEL = 1

#: zlib's parameter for a gzip file; its header has no time of writing.
_WINDOW = 31


class DecompressedFile(igzip.IGzipFile):
    """The contents of a gzip file, for reading.

    Args:
      file: The compressed file, open for reading, with `readinto`; it is closed together with its contents.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._compressed = file
        super().__init__(fileobj=file, mode="rb")  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Closes both."""
        try:
            super().close()
        finally:
            self._compressed.close()


def compressor() -> isal_zlib.Compress:
    """Returns an object like `zlib.compressobj`'s that makes a gzip file.

    The contents decide the bytes but for one match: at level 1, ISA-L takes a hash of the stream's address for one of
    the contents' first bytes (`igzip_icf_body_h1_gr_bt.asm`, `.write_first_byte`), so that about one file in 3,000 is
    compressed a little differently. Processors with other instructions write other bytes. Files are the same if their
    contents are.
    """
    return isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW)
