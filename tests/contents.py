"""The contents of files, unpacked: `transform.files.gzip_files.compressor` says why compressed bytes can differ."""

from __future__ import annotations

import gzip
from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    """Returns the contents of the files below a folder by relative path, those in gzip unpacked."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): unpacked(path) for path in files}


def unpacked(path: Path) -> bytes:
    """Returns a file's contents, unpacked if they are in gzip."""
    read = path.read_bytes()
    return gzip.decompress(read) if read[:2] == b"\x1f\x8b" else read
