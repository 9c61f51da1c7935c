"""A model's folder of versions: lists the versions, and checks that their files are those that were pushed.

The layout is that which `components/model_store/versions.py` writes and TF Serving reads: a version is a folder whose
name is a number, and `.part-5` beside it means that version 5 is not complete yet.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator

from transform.errors import InputError

PART_PREFIX = ".part-"
MANIFEST = os.path.join("assets.extra", "manifest.json")
_SHA256 = "sha256"

#: The most digits of a version: an int64 has 19. TF Serving's quickstart writes eight, with leading zeros.
_MAX_NAME = 19

#: The file that every SavedModel has in its folder.
_GRAPH = "saved_model.pb"


class DamagedVersionError(InputError):
    """A version's files differ from those that were pushed."""


@dataclasses.dataclass(frozen=True)
class VersionFiles:
    """The files of a version's folder.

    Attributes:
      fingerprint: Changes if a file is added, removed, replaced or written.
      unfinished: Why some files may still be missing; empty if the version is complete.
    """

    fingerprint: str
    unfinished: str


def versions(folder: str) -> dict[int, str]:
    """The folder names of a model's versions, by number; empty if the model's folder does not exist.

    Raises:
      OSError: If the folder cannot be read.
    """
    try:
        return versions_of(folder)
    except FileNotFoundError:
        return {}


def versions_of(folder: str) -> dict[int, str]:
    """The folder names of a model's versions, by number, without those that `.part-` marks as incomplete.

    A name may have leading zeros, as in TF Serving (`00000123` is version 123). Of several names of one number, the
    shortest counts.

    Raises:
      OSError: If the folder cannot be read, or does not exist.
    """
    names = {entry.name for entry in os.scandir(folder) if _is_folder(entry) or entry.name.startswith(PART_PREFIX)}
    whole = [name for name in names if _is_version(name) and f"{PART_PREFIX}{name}" not in names]
    return {int(name): name for name in sorted(whole, key=len, reverse=True)}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a symbolic link to itself
        return False


def inspect(path: str, settle_seconds: float) -> VersionFiles:
    """Checks whether a version's folder is complete, and fingerprints its files.

    A folder with a manifest is complete: `verify` checks its files against it. Without a manifest nothing says which
    files are still to come, so a folder is complete once it has a graph and no file has changed for a while. The files'
    status change time decides this, since even a copy that keeps the modification time sets it.

    Args:
      path: The version's folder.
      settle_seconds: How long the files of a folder without a manifest must have been unchanged.

    Raises:
      OSError: If the folder cannot be read.
    """
    digest, newest = hashlib.sha256(), 0.0
    names = sorted(_files(path))
    for name in names:
        found = os.lstat(os.path.join(path, name))
        newest = max(newest, found.st_ctime)
        digest.update(f"{name}\0{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}\n".encode())
    unfinished = ""
    if MANIFEST not in names:
        if _GRAPH not in names:
            unfinished = f"it has no {_GRAPH}"
        elif time.time() - newest < settle_seconds:
            unfinished = f"it has no manifest, and its files changed less than {settle_seconds:g} seconds ago"
    return VersionFiles(digest.hexdigest(), unfinished)


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) <= _MAX_NAME and int(name) < 2**63


def verify(path: str) -> bool:
    """Checks a version's files against the checksums in its manifest.

    Args:
      path: The version's folder.

    Returns:
      Whether there are checksums; a version that was placed there manually has none.

    Raises:
      DamagedVersionError: If a file is missing, was changed or is not in the manifest; if the manifest is not a JSON
        object; or if the folder has a file that is not regular, such as a pipe, which could be read forever.
    """
    if odd := sorted(name for name in _files(path) if not _is_regular(os.path.join(path, name))):
        raise DamagedVersionError(f"a version must have regular files only. Received: {', '.join(odd)} ({path})")
    manifest = os.path.join(path, MANIFEST)
    try:
        with open(manifest, encoding="utf-8") as file:
            expected = json.load(file).get(_SHA256)
    except FileNotFoundError:
        return False
    except (ValueError, AttributeError) as error:
        raise DamagedVersionError(f"a manifest must be a JSON object. Received: {error} ({manifest})") from error
    if expected is None:
        return False
    found = {name: _sha256(os.path.join(path, name)) for name in _files(path) if name != MANIFEST}
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} was changed" for name in found if name in expected and found[name] != expected[name]]
    wrong += [f"{name} was added" for name in found if name not in expected]
    if wrong:
        raise DamagedVersionError(
            f"a version's files must be those that were pushed. Received: {', '.join(wrong)} ({path})"
        )
    return True


def _files(folder: str) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(place, name), folder)


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:  # a symbolic link to itself, or to a missing file
        return False


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
