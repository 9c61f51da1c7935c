"""The log's files: whole and damaged ones are read, and what cannot be read is counted."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from serving.serving_log.frames import HEAD_BYTES, HEADER_BYTES, MAX_PAYLOAD_BYTES, FrameFormat
from serving.serving_log.reader import ReadCounts, read_payloads, read_records
from tests.serving.serving_log.records import record

FORMAT = FrameFormat(b"\x07\x00\x00\x00saltier"[:8])


def read(path: Path, content: bytes) -> tuple[list[bytes], ReadCounts]:
    path.write_bytes(content)
    counts = ReadCounts()
    return list(read_payloads(str(path), counts)), counts


def test_a_frame_has_the_bytes_of_its_format() -> None:
    head = b"frm\x01" + struct.pack("<II", 3, zlib.crc32(b"abc", 7))
    assert FORMAT.header == b"WDRLOG\x00\x01" + b"\x07\x00\x00\x00salt"
    assert FORMAT.frame(b"abc") == head + struct.pack("<I", zlib.crc32(head, 7)) + b"abc"


def test_whole_frames_are_read(tmp_path: Path) -> None:
    payloads = [b"", b"a", b"b" * 100_000, b"frm\x01" * 50]
    content = FORMAT.header + b"".join(map(FORMAT.frame, payloads))
    assert read(tmp_path / "log", content) == (payloads, ReadCounts())


def test_each_end_within_a_frame_is_counted(tmp_path: Path) -> None:
    first, second = FORMAT.frame(b"first"), FORMAT.frame(b"second")
    content = FORMAT.header + first + second
    for end in range(1, len(content) + 1):
        payloads, counts = read(tmp_path / "log", content[:end])
        after = end - HEADER_BYTES
        num_whole = (after >= len(first)) + (after >= len(first) + len(second))
        rest = end if after < 0 else after - [0, len(first), len(first) + len(second)][num_whole]
        assert payloads == [b"first", b"second"][:num_whole]
        assert counts == ReadCounts(half_frames=int(rest > 0), skipped_bytes=rest), end
    assert read(tmp_path / "log", b"") == ([], ReadCounts())


def test_each_changed_byte_costs_one_frame(tmp_path: Path) -> None:
    frames = [FORMAT.frame(text) for text in (b"first", b"second", b"third")]
    content = FORMAT.header + b"".join(frames)
    begin = HEADER_BYTES + len(frames[0])
    for at in range(begin, begin + len(frames[1])):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        payloads, counts = read(tmp_path / "log", bytes(damaged))
        assert payloads == [b"first", b"third"], at
        assert counts == ReadCounts(damaged_frames=1, skipped_bytes=len(frames[1]))


@pytest.mark.parametrize("length", [65_536 - HEAD_BYTES - 3, 65_536, 65_537 + HEAD_BYTES, 200_000])
def test_the_next_frame_is_found_after_a_long_damage(tmp_path: Path, length: int) -> None:
    damaged = b"x" + FORMAT.frame(b"a" * length)[1:]
    payloads, counts = read(tmp_path / "log", FORMAT.header + damaged + FORMAT.frame(b"next"))
    assert payloads == [b"next"]
    assert counts == ReadCounts(damaged_frames=1, skipped_bytes=len(damaged))


def test_a_length_beyond_the_bound_is_damage(tmp_path: Path) -> None:
    head = b"frm\x01" + struct.pack("<II", MAX_PAYLOAD_BYTES + 1, 0)
    too_long = head + struct.pack("<I", zlib.crc32(head, 7))
    payloads, counts = read(tmp_path / "log", FORMAT.header + too_long + FORMAT.frame(b"next"))
    assert (payloads, counts) == ([b"next"], ReadCounts(damaged_frames=1, skipped_bytes=HEAD_BYTES))


def test_a_frame_within_a_payload_is_not_read_after_damage(tmp_path: Path) -> None:
    """A caller's text that has the bytes of a frame, made without the file's salt."""
    forged = FrameFormat(bytes(8)).frame(b"forged")
    carrier = FORMAT.frame(b"text " + forged)
    payloads, counts = read(tmp_path / "log", FORMAT.header + b"x" + carrier[1:] + FORMAT.frame(b"next"))
    assert payloads == [b"next"]
    assert counts == ReadCounts(damaged_frames=1, skipped_bytes=len(carrier))


def test_a_file_of_something_else_is_counted_as_such(tmp_path: Path) -> None:
    content = b"PAR1" + bytes(1_000)
    assert read(tmp_path / "log", content) == ([], ReadCounts(unreadable_files=1, skipped_bytes=1_004))


def test_records_are_told_from_other_payloads(tmp_path: Path) -> None:
    payloads = [
        record("1").SerializeToString(),
        b"\xff\xff",
        record("2", schema_version=2).SerializeToString(),
        record("3", scores=[0.5]).SerializeToString(),
        b"",
        record("4").SerializeToString(),
    ]
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(FORMAT.header + b"".join(map(FORMAT.frame, payloads)))
    counts = ReadCounts()
    found = list(read_records(map(str, paths), counts))
    assert [one.request_id for one in found] == ["1", "4"] * 2
    assert counts == ReadCounts(records=4, no_records=6, newer_records=2)
