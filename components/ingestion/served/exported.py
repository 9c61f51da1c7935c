"""The folder that `wdr export-log` writes: which files are whole.

    OUT/2026-12-01/impressions-13-ID.parquet   candidates of the hour from 13:00 UTC
    OUT/2026-12-01/events-13-ID.parquet        events
    OUT/exports/ID.json                        what one export read, wrote and skipped: written last

A file that no record of an export names is of an export that was stopped, and is read by nobody.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Final, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from components import storage
from transform.documents import CONFIG, Document
from transform.errors import InputError, UnreadableError

#: The folder of the records of exports, and the end of their names.
EXPORTS, _END = "exports", ".json"


@dataclass(frozen=True, config=CONFIG)
class ReadFile:
    """A sealed file that an export read.

    Attributes:
      name: Its name, without its folder.
      num_bytes: Its size.
      sha256: The SHA-256 of its bytes.
    """

    name: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True, config=CONFIG)
class ExportRecord:
    """What one export read, wrote, skipped and found lost.

    Attributes:
      read: The sealed files that it read.
      written: The Parquet files that it wrote, relative to the folder of exports.
      num_requests: The requests that it wrote.
      num_candidates: Their candidates.
      num_events: The events that it wrote.
      skipped: What it read and did not write, by reason.
      lost: By writer, the records that its counter says it lost.
      schema_version: The version of this dataclass's schema.
    """

    read: Sequence[ReadFile]
    written: Sequence[str]
    num_requests: int = 0
    num_candidates: int = 0
    num_events: int = 0
    skipped: dict[str, int] = Field(default_factory=dict)
    lost: dict[str, int] = Field(default_factory=dict)
    schema_version: Literal[1] = 1


EXPORT_RECORD: Final = Document(ExportRecord, "a record of an export")


def export_records(folder: str) -> list[ExportRecord]:
    """Reads the records of the exports into a folder, in the order of their names.

    Raises:
      InputError: If one is damaged.
      UnreadableError: If one cannot be read now.
    """
    records = []
    exports = posixpath.join(folder, EXPORTS)
    try:
        for name in storage.names(exports):
            path = posixpath.join(exports, name)
            if name.endswith(_END) and (text := storage.read_text(path)) is not None:
                records.append(EXPORT_RECORD.from_json(text, path))
    except OSError as error:
        raise UnreadableError.of(exports, error) from error
    return records


def record_path(folder: str, export: str) -> str:
    """Returns the path of an export's record."""
    return posixpath.join(folder, EXPORTS, f"{export}{_END}")


def whole_files(paths: Sequence[str]) -> tuple[str, ...]:
    """Returns those of some files, two folders below a folder of exports, that a record of an export names.

    Raises:
      InputError: If a folder has no record of an export.
    """
    named: dict[str, frozenset[str]] = {}
    kept = []
    for path in paths:
        folder = posixpath.dirname(posixpath.dirname(path))
        if folder not in named:
            records = export_records(folder)
            if not records:
                raise InputError(
                    "a log of the format serving_log is what `wdr export-log` wrote: OUT/DAY/FILE.parquet beside "
                    f"OUT/{EXPORTS}/. Received: no record of an export in {posixpath.join(folder, EXPORTS)} ({path})"
                )
            named[folder] = frozenset(name for record in records for name in record.written)
        if posixpath.relpath(path, folder) in named[folder]:
            kept.append(path)
    return tuple(kept)
