"""Reader of the serving log's files: yields their records, and counts what cannot be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import IO, Any

from google.protobuf.message import DecodeError

from serving.serving_log.frames import FRAME_MAGIC, HEAD_BYTES, HEADER_BYTES, FrameFormat
from serving.serving_log.record import SCHEMA_VERSION, LoggedRequest, is_whole

#: The bytes that are searched at once for the next frame after a damaged one.
_BLOCK_BYTES = 1 << 16


@dataclasses.dataclass
class ReadCounts:
    """What a reader found.

    Attributes:
      records: The records that it yielded.
      half_frames: Files that end within a frame, or within their header: their writer was killed, or still writes.
      damaged_frames: Places where one or more frames are damaged.
      unreadable_files: Files that do not begin as the log's do.
      skipped_bytes: The bytes of half and damaged frames and of unreadable files.
      no_records: Payloads that are no record, or one whose lists do not fit together.
      newer_records: Records of a newer schema than this reader's.
    """

    records: int = 0
    half_frames: int = 0
    damaged_frames: int = 0
    unreadable_files: int = 0
    skipped_bytes: int = 0
    no_records: int = 0
    newer_records: int = 0


def read_records(paths: Iterable[str], counts: ReadCounts) -> Iterator[Any]:
    """Yields the records of files, LoggedRequests, in the order of the files; memory grows with the longest frame.

    Args:
      paths: The files, sealed or not.
      counts: Is added to while the records are taken.

    Raises:
      OSError: If a file cannot be read.
    """
    for path in paths:
        for payload in read_payloads(path, counts):
            try:
                record = LoggedRequest.FromString(payload)
            except DecodeError:
                counts.no_records += 1
                continue
            if record.schema_version > SCHEMA_VERSION:
                counts.newer_records += 1
            elif record.schema_version < 1 or not is_whole(record):
                counts.no_records += 1
            else:
                counts.records += 1
                yield record


def read_payloads(path: str, counts: ReadCounts) -> Iterator[bytes]:
    """Yields the payloads of a file's whole frames; arguments and errors are those of `read_records`, for one file."""
    with open(path, "rb") as file:
        header = file.read(HEADER_BYTES)
        frames = FrameFormat.of(header)
        if frames is None:
            rest = _length_of_rest(file)
            counts.skipped_bytes += len(header) + rest
            counts.unreadable_files += len(header) == HEADER_BYTES
            counts.half_frames += 0 < len(header) < HEADER_BYTES
            return
        while head := file.read(HEAD_BYTES):
            start = file.tell() - len(head)
            length = frames.length(head)
            if length is None and len(head) == HEAD_BYTES:
                counts.damaged_frames += 1
                counts.skipped_bytes += _seek_next(file, start, frames) - start
                continue
            payload = b"" if length is None else file.read(length)
            if length is None or len(payload) < length:
                counts.half_frames += 1
                counts.skipped_bytes += len(head) + len(payload)
            elif frames.fits(head, payload):
                yield payload
            else:
                counts.damaged_frames += 1
                counts.skipped_bytes += len(head) + length


def _length_of_rest(file: IO[bytes]) -> int:
    here = file.tell()
    return file.seek(0, 2) - here


def _seek_next(file: IO[bytes], start: int, frames: FrameFormat) -> int:
    """Moves a file to the next whole head after a damaged one at `start`, or to its end; returns the place."""
    place = start + 1
    while True:
        file.seek(place)
        block = file.read(_BLOCK_BYTES)
        at = block.find(FRAME_MAGIC)
        while 0 <= at <= len(block) - HEAD_BYTES:
            if frames.length(block[at : at + HEAD_BYTES]) is not None:
                return file.seek(place + at)
            at = block.find(FRAME_MAGIC, at + 1)
        if len(block) < _BLOCK_BYTES:
            return file.seek(place + len(block))
        place += len(block) - HEAD_BYTES + 1
