"""The log's folder: the names of its files, the accounts of ended writers, and retention.

| file | holds |
|---|---|
| `WRITER.SEQUENCE.open` | frames; its writer still appends to it, or was killed |
| `WRITER.SEQUENCE.nFRAMES.log` | the same, sealed: nobody changes it any more |
| `WRITER.counts` | the writer's counters, locked while its process lives |

`WRITER` is the time of its start, host, process id, and 8 random characters: the last tell two replicas of one name
apart. Names sort by the writer's start, and within a writer by the order of its files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator

from serving.serving_log.counters import DROPPED, Counters, read_counters
from serving.serving_log.reader import ReadCounts, read_payloads
from transform.errors import InputError

_WRITER = r"\d{8}T\d{6}Z\.[A-Za-z0-9-]{1,64}\.\d+\.[0-9a-f]{8}"
_SEALED = re.compile(rf"({_WRITER})\.\d{{6,}}\.n(\d+)\.log")
_OPEN = re.compile(rf"({_WRITER})\.\d{{6,}}\.open")
_COUNTS = re.compile(rf"({_WRITER})\.counts")

_LOGGER = logging.getLogger(__name__)


def new_writer() -> str:
    """Returns a name for a writer of this process."""
    started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:64] or "-"
    return f"{started}.{host}.{os.getpid()}.{secrets.token_hex(4)}"


def open_name(writer: str, sequence: int) -> str:
    """The name of a writer's file before it is sealed."""
    return f"{writer}.{sequence:06d}.open"


def seal(path: str, num_frames: int) -> str:
    """Renames an open file, whose frames are known, to its sealed name; returns the path."""
    sealed = f"{path.removesuffix('.open')}.n{num_frames}.log"
    os.rename(path, sealed)
    return sealed


def counts_path(folder: str, writer: str) -> str:
    """The path of a writer's counters."""
    return os.path.join(folder, f"{writer}.counts")


def sealed_files(folder: str) -> list[str]:
    """Returns the paths of the sealed files, sorted by name."""
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if _SEALED.fullmatch(name)]


def account_of(counters: dict[str, int]) -> int:
    """Returns how many answered requests a writer's counters do not account for: not yet written, or lost.

    With 10 answered, 2 not sampled, 1 dropped for a full queue and 6 written, that is 1.
    """
    counted = ("not_sampled", "written", *DROPPED)
    return counters["answered"] - sum(counters[name] for name in counted)


def accounts(folder: str) -> dict[str, dict[str, int]]:
    """Reads the counters of all writers by name; `lost` of one that has not `ended` is not known yet."""
    found = {}
    for name in sorted(os.listdir(folder)):
        if match := _COUNTS.fullmatch(name):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile, by retention
                found[match[1]] = read_counters(os.path.join(folder, name))
    return found


def close_accounts(folder: str) -> int:
    """Closes the accounts of writers whose process has ended without closing its log, and seals their open files.

    A killed writer's requests are in its files as far as they were written; the rest, at most those of the time between
    two writes, become `lost` in its counters. Any process may call this, at any time.

    Returns:
      The requests that were found to be lost.
    """
    num_lost = 0
    for name in sorted(os.listdir(folder)):
        if not (match := _COUNTS.fullmatch(name)):
            continue
        try:
            counters = Counters(os.path.join(folder, name), creates=False)
        except (BlockingIOError, FileNotFoundError):  # its process lives; or removed meanwhile, by retention
            continue
        except InputError as error:
            _LOGGER.warning("%s", error)
            continue
        try:
            if not counters["ended"]:
                num_lost += _close_account(folder, match[1], counters)
        finally:
            counters.close()
    return num_lost


def _close_account(folder: str, writer: str, counters: Counters) -> int:
    """Closes one account. Killed in its middle, it begins again: what it has done changes nothing then."""
    names = [name for name in os.listdir(folder) if (match := _OPEN.fullmatch(name)) and match[1] == writer]
    for name in names:  # one at most
        path = os.path.join(folder, name)
        num_frames = sum(1 for _ in read_payloads(path, ReadCounts()))
        counters["written"] = counters["written_before"] + num_frames
        seal(path, num_frames)
    counters["lost"] = account_of(counters.values())
    counters["ended"] = 1
    return counters["lost"]


@dataclasses.dataclass
class Removed:
    """What retention removed: files, and the requests in them."""

    files: int = 0
    requests: int = 0


def remove_old(folder: str, keep_seconds: float, keep_bytes: int, now: float) -> Removed:
    """Removes sealed files: those that are too old, then the oldest until the rest is small enough.

    The counters of a writer are removed with its last file, once they are too old as well.

    Args:
      folder: The folder.
      keep_seconds: A file whose last frame is older is removed.
      keep_bytes: The most bytes of all sealed and open files.
      now: The time, seconds since 1970.
    """
    removed = Removed()
    sizes, total = [], 0
    for entry in _entries(folder):
        if _SEALED.fullmatch(entry.name) or _OPEN.fullmatch(entry.name):
            with contextlib.suppress(FileNotFoundError):  # removed or sealed meanwhile, by another writer
                status = entry.stat()
                total += status.st_size
                if match := _SEALED.fullmatch(entry.name):
                    sizes.append((status.st_mtime, entry.path, status.st_size, int(match[2])))
    for modified, path, size, num_frames in sorted(sizes):
        if modified >= now - keep_seconds and total <= keep_bytes:
            break
        total -= size
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            removed.files += 1
            removed.requests += num_frames
    _remove_counters(folder, now - keep_seconds)
    return removed


def _remove_counters(folder: str, before: float) -> None:
    names = sorted(os.listdir(folder))
    with_files = {match[1] for name in names if (match := _SEALED.fullmatch(name) or _OPEN.fullmatch(name))}
    for name in names:
        match, path = _COUNTS.fullmatch(name), os.path.join(folder, name)
        if match and match[1] not in with_files:
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_mtime < before and read_counters(path)["ended"]:
                    os.unlink(path)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from entries
