"""A model's folder of versions: lists the versions, and checks that their files are those that were pushed.

The layout is that of `transform/files/version_layout.py`, which the Pusher writes and TF Serving reads: a version is a
folder whose name is a number, and `.part-5` beside it means that version 5 is not complete yet.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterator

from transform.files.version_layout import (
    MANIFEST_PATH,
    PART_PREFIX,
    SAVED_MODEL_FILE,
    SHA256,
    DamagedVersionError,
    check_files,
    check_regular,
    complete_versions,
)


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
        return list_versions(folder)
    except FileNotFoundError:
        return {}


def list_versions(folder: str) -> dict[int, str]:
    """The folder names of a model's versions, by number, without those that `.part-` marks as incomplete.

    A name may have leading zeros, as in TF Serving (`00000123` is version 123). Of several names of one number, the
    shortest counts.

    Raises:
      OSError: If the folder cannot be read, or does not exist.
    """
    return complete_versions(
        entry.name for entry in os.scandir(folder) if _is_folder(entry) or entry.name.startswith(PART_PREFIX)
    )


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
        identity = f"{name}\0{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}\n"
        digest.update(os.fsencode(identity))  # a file's name may be any bytes
    unfinished = ""
    if MANIFEST_PATH not in names:
        if SAVED_MODEL_FILE not in names:
            unfinished = f"it has no {SAVED_MODEL_FILE}"
        elif time.time() - newest < settle_seconds:
            unfinished = f"it has no manifest, and its files changed less than {settle_seconds:g} seconds ago"
    return VersionFiles(digest.hexdigest(), unfinished)


def verify(path: str) -> None:
    """Checks a version's files against the checksums in its manifest; one that was placed there manually has none.

    Raises:
      DamagedVersionError: If a file is missing, was changed or is not in the manifest; if the manifest, or its entry
        of checksums, is not a JSON object; or if the folder has a file that is not regular, such as a pipe, which could
        be read forever.
    """
    names = list(_files(path))
    check_regular(path, names)
    manifest = os.path.join(path, MANIFEST_PATH)
    try:
        with open(manifest, encoding="utf-8") as file:
            expected = json.load(file).get(SHA256)
    except FileNotFoundError:
        return
    except (ValueError, AttributeError) as error:
        raise DamagedVersionError(f"a manifest must be a JSON object. Received: {error} ({manifest})") from error
    if expected is None:
        return
    if not isinstance(expected, dict):
        received = type(expected).__name__
        raise DamagedVersionError(f"a manifest's `{SHA256}` must be a JSON object. Received: a {received} ({manifest})")
    check_files(path, expected, {name: _sha256(os.path.join(path, name)) for name in names if name != MANIFEST_PATH})


def _files(folder: str) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(place, name), folder)


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
