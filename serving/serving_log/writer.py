"""The writer's thread: makes frames of what is queued, appends them to the process's file, and keeps the folder."""

from __future__ import annotations

import collections
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from serving.serving_log.counters import Counters
from serving.serving_log.folder import close_accounts, counts_path, new_writer, open_name, remove_old, seal
from serving.serving_log.frames import FrameFormat
from serving.serving_log.settings import LogSettings
from transform.errors import InputError

#: The time between two looks at the folder: for ended writers, and for files to remove.
_LOOK_SECONDS = 10.0

#: After so many records the thread sleeps for a moment, so that it holds Python's lock for less than 1 ms while a
#: request waits for it. With a sleep of 0 it would take the lock again before another thread is awake.
_TURN, _PAUSE_SECONDS = 8, 1e-4

#: A failing disk is reported at most this often.
_REPORT_SECONDS = 60.0

#: What is queued of a request.
Entry = TypeVar("Entry")

_LOGGER = logging.getLogger(__name__)


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)


class LogWriter(Generic[Entry]):
    """A bounded queue of requests, and the one thread that writes them, so that no disk slows an answer.

    Args:
      settings: The log's settings.
      encode: Returns an entry's payload, or why it has none, one of `DROPPED`; called in the thread.
      create_file: Creates a file that is appended to, and returns its descriptor.

    Raises:
      OSError: If the folder does not exist, or the file of counters cannot be created in it.
    """

    def __init__(
        self,
        settings: LogSettings,
        encode: Callable[[Entry], bytes | str],
        create_file: Callable[[str], int] = _create,
    ) -> None:
        self._settings, self._encode, self._create_file = settings, encode, create_file
        self._writer = new_writer()
        self._frames = FrameFormat()
        # Without it, a volume that is full of old files would keep the process from its start.
        self._removed = remove_old(settings.folder, settings.keep_seconds, settings.keep_bytes, time.time())
        self._counters = Counters(counts_path(settings.folder, self._writer), creates=True)
        self._queue: collections.deque[Entry] = collections.deque()
        self._queued_bytes = 0
        self._lock = threading.Lock()  # of the queue and the counters; never held during a write
        self._is_closed = False
        self._wake = threading.Event()
        self._file: _File | None = None
        self._sequence = itertools.count()
        self._looked = self._reported = -float("inf")
        self._found_lost = 0
        self._thread = threading.Thread(target=self._run, name="serving-log", daemon=True)
        self._thread.start()

    def count(self, reason: str) -> None:
        """Counts an answered request that is not written, by its counter."""
        with self._lock:
            self._counters.add("answered")
            self._counters.add(reason)

    def put(self, entry: Entry, num_bytes: int) -> None:
        """Counts an answered request, and queues it; if the queue has no room for its bytes, it is dropped."""
        with self._lock:
            if self._is_closed:
                raise ValueError("the serving log is closed")
            self._counters.add("answered")
            if self._queued_bytes + num_bytes > self._settings.queue_bytes:
                self._counters.add("queue_full")
                return
            self._queue.append(entry)
            self._queued_bytes += num_bytes

    def values(self) -> dict[str, int]:
        """The counters, and what this process found in the folder: `found_lost`, and what it removed."""
        found = {"removed_files": self._removed.files, "removed_requests": self._removed.requests}
        return self._counters.values() | found | {"found_lost": self._found_lost}

    def close(self, timeout: float) -> None:
        """Writes what is queued, seals the file and ends the thread.

        Args:
          timeout: Seconds; after them, as with a disk that stalls, the rest is left to `close_accounts`, which counts
            it as lost.
        """
        with self._lock:
            self._is_closed = True
        self._wake.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            _LOGGER.warning("the serving log could not be written within %g s; the rest is lost", timeout)

    def _run(self) -> None:
        while not self._is_closed:
            self._write_queue()
            if time.monotonic() - self._looked >= _LOOK_SECONDS:
                self._look()
            self._wake.wait(self._settings.write_seconds)
        self._write_queue()
        if self._seal():
            self._counters["ended"] = 1
            self._counters.close()

    def _write_queue(self) -> None:
        frames = self._take_frames()
        settings, file = self._settings, self._file
        num_bytes = sum(map(len, frames))
        if file is not None and (
            file.is_damaged
            or time.monotonic() - file.opened >= settings.file_seconds
            or (file.num_frames and file.num_bytes + num_bytes > settings.file_bytes)
        ):
            self._seal()
        if not frames:
            return
        num_written = 0
        try:
            if self._file is None:
                with self._lock:
                    self._counters["written_before"] = self._counters["written"]
                name = open_name(self._writer, next(self._sequence))
                path = os.path.join(settings.folder, name)
                self._file = _File(path, self._create_file(path), self._frames.header)
            if not self._file.is_damaged:
                num_written = self._file.append(frames)
        except OSError as error:
            self._report(error)
        with self._lock:
            self._counters.add("written", num_written)
            self._counters.add("disk", len(frames) - num_written)

    def _take_frames(self) -> list[bytes]:
        """Empties the queue; returns the frames of its entries, and counts those that have none."""
        with self._lock:
            entries = list(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
        frames, dropped = [], collections.Counter[str]()
        for number, entry in enumerate(entries, 1):
            found = self._encode(entry)
            if isinstance(found, str):
                dropped[found] += 1
            else:
                frames.append(self._frames.frame(found))
            if number % _TURN == 0 and not self._is_closed:
                time.sleep(_PAUSE_SECONDS)
        with self._lock:
            for reason, count in dropped.items():
                self._counters.add(reason, count)
        return frames

    def _seal(self) -> bool:
        """Seals the open file, if there is one; returns whether none is open afterwards."""
        if self._file is not None:
            try:
                self._file.seal()
            except OSError as error:
                self._report(error)
                return False
            self._file = None
        return True

    def _look(self) -> None:
        settings = self._settings
        self._looked = time.monotonic()
        try:
            if num_lost := close_accounts(settings.folder):
                self._found_lost += num_lost
                _LOGGER.warning("a writer was killed: %d answered requests are not in the serving log", num_lost)
            removed = remove_old(settings.folder, settings.keep_seconds, settings.keep_bytes, time.time())
        except (OSError, InputError) as error:
            self._report(error)
            return
        self._removed.files += removed.files
        self._removed.requests += removed.requests

    def _report(self, error: OSError | InputError) -> None:
        if time.monotonic() - self._reported >= _REPORT_SECONDS:
            self._reported = time.monotonic()
            _LOGGER.warning("the serving log cannot be written, and requests are dropped from it: %s", error)


class _File:
    """An open file of frames.

    Attributes:
      opened: When it was opened, on the monotonic clock.
      num_frames: The whole frames in it.
      num_bytes: Its length up to the last whole frame.
      is_damaged: Whether a part of a frame could not be cut off its end, so that nothing may follow.
    """

    def __init__(self, path: str, number: int, header: bytes) -> None:
        self._path, self._number, self._header = path, number, header
        self.opened = time.monotonic()
        self.num_frames = self.num_bytes = 0
        self.is_damaged = False

    def append(self, frames: list[bytes]) -> int:
        """Appends frames; returns how many of them are whole in the file. The others are cut off it.

        Raises:
          OSError: If the file cannot be written at all.
        """
        lengths = list(map(len, frames))
        if not self.num_bytes:
            frames, lengths[0] = [self._header, *frames], lengths[0] + len(self._header)
        content = memoryview(b"".join(frames))
        done = 0
        try:
            while done < len(content):
                done += os.write(self._number, content[done:])
        except OSError:
            if done == 0:
                raise
            _LOGGER.warning("the serving log's disk is full or failed within a write (%s)", self._path)
        num_whole = sum(1 for end in itertools.accumulate(lengths) if end <= done)
        self.num_frames += num_whole
        self.num_bytes += sum(lengths[:num_whole])
        if done < len(content):
            try:
                os.ftruncate(self._number, self.num_bytes)
            except OSError:
                self.is_damaged = True
        return num_whole

    def seal(self) -> None:
        """Flushes the file to the disk, closes it, and renames it."""
        os.fsync(self._number)
        seal(self._path, self.num_frames)
        os.close(self._number)
