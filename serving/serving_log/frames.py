r"""The serving log's file format: a header, and frames of one record each, which say where they are damaged.

| part | bytes |
|---|---|
| header of a file | `WDRLOG`, 2 bytes with the format's number; 8 random bytes, the salt |
| head of a frame | `frm\x01`; the payload's length, uint32; its checksum; the checksum of these 12 bytes |
| payload | a serialized record |

Numbers are little-endian. A checksum is CRC-32 (as in zlib), begun with the salt's first 4 bytes in place of 0. So a
payload, whose texts come from requests, cannot hold what would be read as a frame after the damage of another one.
"""

from __future__ import annotations

import os
import struct
import zlib

HEADER_MAGIC = b"WDRLOG\x00\x01"
FRAME_MAGIC = b"frm\x01"

_LENGTHS = struct.Struct("<4sII")
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = 16
HEAD_BYTES = _LENGTHS.size + _CHECKSUM.size

#: A longer record is not written; a longer length is read as damage.
MAX_PAYLOAD_BYTES = 1 << 23


class FrameFormat:
    """Makes and checks the frames of files with one salt.

    Args:
      salt: 8 bytes; None draws them.
    """

    def __init__(self, salt: bytes | None = None) -> None:
        self._salt = os.urandom(8) if salt is None else salt
        self._seed = int.from_bytes(self._salt[:4], "little")

    @classmethod
    def of(cls, header: bytes) -> FrameFormat | None:
        """The format of a file by its first 16 bytes; None if they are no header."""
        is_header = len(header) == HEADER_BYTES and header.startswith(HEADER_MAGIC)
        return cls(header[len(HEADER_MAGIC) :]) if is_header else None

    @property
    def header(self) -> bytes:
        """A file's header."""
        return HEADER_MAGIC + self._salt

    def frame(self, payload: bytes) -> bytes:
        """Returns the frame of a payload, of at most `MAX_PAYLOAD_BYTES`."""
        head = _LENGTHS.pack(FRAME_MAGIC, len(payload), zlib.crc32(payload, self._seed))
        return head + _CHECKSUM.pack(zlib.crc32(head, self._seed)) + payload

    def length(self, head: bytes) -> int | None:
        """Returns the payload's length by a frame's head; None if the head is damaged, or no head."""
        if len(head) != HEAD_BYTES or not head.startswith(FRAME_MAGIC):
            return None
        (checksum,) = _CHECKSUM.unpack_from(head, _LENGTHS.size)
        length: int = _LENGTHS.unpack_from(head)[1]
        is_head = checksum == zlib.crc32(head[: _LENGTHS.size], self._seed) and length <= MAX_PAYLOAD_BYTES
        return length if is_head else None

    def fits(self, head: bytes, payload: bytes) -> bool:
        """Whether a payload has the checksum that its frame's head says."""
        return bool(_LENGTHS.unpack_from(head)[2] == zlib.crc32(payload, self._seed))
