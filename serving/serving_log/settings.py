"""The serving log's settings."""

from __future__ import annotations

import dataclasses

from transform.errors import InputError


@dataclasses.dataclass(frozen=True)
class LogSettings:
    """The settings of a writer of the serving log.

    Raises:
      InputError: If a value breaks its rule.

    Attributes:
      folder: The folder of the log, which must exist; several processes may share it.
      key_file: A file of keys for the request ids' MAC, one a line; the first one makes ids (`request_ids`).
      sample: The share of requests that is logged, above 0, at most 1.
      file_bytes: A file is sealed before it becomes longer.
      file_seconds: A file is sealed at this age.
      keep_bytes: The oldest sealed files are removed when the folder has more bytes than this.
      keep_seconds: A sealed file is removed at this age.
      queue_bytes: The most bytes that wait to be written; further records are dropped, and counted.
      write_seconds: The time between two writes; requests of no longer a time are lost if the process is killed.
    """

    folder: str
    key_file: str
    sample: float = 1.0
    file_bytes: int = 64 << 20
    file_seconds: float = 300.0
    keep_bytes: int = 8 << 30
    keep_seconds: float = 7 * 86_400.0
    queue_bytes: int = 32 << 20
    write_seconds: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.sample <= 1:
            raise InputError(f"`sample` must be above 0, at most 1. Received: {self.sample}")
        for name in ("file_bytes", "file_seconds", "keep_bytes", "keep_seconds", "queue_bytes"):
            if not getattr(self, name) > 0:
                raise InputError(f"`{name}` must be above 0. Received: {getattr(self, name)}")
        if not 0 < self.write_seconds <= 1:
            raise InputError(f"`write_seconds` must be above 0, at most 1. Received: {self.write_seconds}")
