"""Opens a source's file and checks its columns."""

from __future__ import annotations

import difflib
import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO, NamedTuple, cast

from components import storage
from transform.config.sources import DelimitedText
from transform.errors import InputError
from transform.files.gzip_files import DecompressedFile


def is_gzip(path: str) -> bool:
    """Returns whether a file has gzip, by its name."""
    return path.endswith(".gz")


def open_file(path: str) -> BinaryIO:
    """Opens a file on any file system that Beam supports; decompresses it if its name ends in `.gz`."""
    raw = _open_remote(path) if storage.is_remote(path) else cast(BinaryIO, open(path, "rb"))  # noqa: SIM115
    if is_gzip(path):
        return io.BufferedReader(DecompressedFile(raw), 1 << 20)
    return raw


def _open_remote(path: str) -> BinaryIO:
    # Imported here only: Beam takes seconds to import, and a local file does not need it.
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)  # type: ignore[no-any-return]


class _Changed(io.RawIOBase):
    """A stream whose bytes are changed as they are read, each by itself."""

    def __init__(self, stream: BinaryIO, change: Callable[[bytes], bytes]):
        self._stream, self._change = stream, change
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        room = memoryview(buffer)
        if not self._rest:
            # Not `read`, which loses what it has read if an error follows.
            self._rest = self._change(self._stream.read1(len(room)))  # type: ignore[attr-defined]
        text, self._rest = self._rest[: len(room)], self._rest[len(room) :]
        room[: len(text)] = text
        return len(text)


def as_text(stream: BinaryIO, text: DelimitedText) -> tuple[BinaryIO, int]:
    r"""Returns a delimited file's lines after those to skip, and the number of lines skipped.

    The lines are UTF-8 and end in `\n` or `\r\n`. A byte that the file's encoding does not have stays as it is.
    """

    def change(raw: bytes) -> bytes:
        # In the encodings of single bytes, ASCII characters are the same bytes as in UTF-8.
        raw = raw.replace(b"\r", b"\n") if text.line_end == "cr" else raw
        if text.encoding == "utf-8":
            return raw
        return raw.decode(text.encoding, "surrogateescape").encode("utf-8", "surrogateescape")

    if text.encoding != "utf-8" or text.line_end == "cr":
        stream = cast(BinaryIO, io.BufferedReader(_Changed(stream, change), 1 << 20))
    number = 0
    while number < text.skip_lines and (line := stream.readline(1 << 20)):
        number += line.endswith(b"\n") or len(line) < 1 << 20
    return stream, number


def check_unique(names: Sequence[str], path: str) -> None:
    """Raises InputError if a file names a column twice."""
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"the file names columns twice: {twice} ({path})")


def check_columns(
    found: Sequence[str], columns: Sequence[str], path: str, *, members: Sequence[str] = (), is_delimited: bool = False
) -> None:
    """Raises InputError if a file lacks a column.

    Args:
      found: The names of the file's columns.
      columns: The names of those that it must have.
      path: The file.
      members: The names of its columns with the members of structs in place of structs.
      is_delimited: Whether a delimiter parts its columns.
    """
    missing = [name for name in columns if name not in found]
    if missing:
        hint = "; is the delimiter right?" if is_delimited and len(found) == 1 else ""
        close = "".join(f"; {words}" for name in missing if (words := close_names(name, members or found)))
        raise InputError(f"the columns {missing} are missing. Received: {list(found)[:50]}{hint}{close} ({path})")


def close_names(name: str, found: Iterable[str]) -> str:
    """Says which of a file's columns have a name close to one that it lacks; an empty text if none has."""
    names = list(found)
    members = [other for other in names if other.endswith(f".{name}")]
    close = list(dict.fromkeys([*members, *difflib.get_close_matches(name, names)]))[:3]
    return f"close to `{name}`: {', '.join(f'`{other}`' for other in close)}" if close else ""


class Contents(NamedTuple):
    """The SHA-256 and the line count of a file's decompressed bytes; a last line without a newline counts."""

    sha256: str
    num_lines: int


def read_file_contents(path: str, text: DelimitedText) -> Contents:
    """Computes a file's checksum and line count from its bytes, independently of the reader of its rows."""
    number, end = 0, b"\n"
    ends = (b"\n", b"\r") if text.line_end == "cr" else (b"\n",)
    digest = hashlib.sha256()
    with open_file(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            number += sum(map(block.count, ends))
            end = block[-1:]
    return Contents(digest.hexdigest(), number + (end not in ends))
