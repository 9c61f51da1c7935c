"""A model's folder of versions: which are there, and whether their files are those that were pushed.

The folder is as `components/versions.py` writes it and TF Serving reads it: a version is a folder whose name is a
number, and `.part-5` beside it says that 5 is not whole yet.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator

from transform.errors import InputError

PART_PREFIX = ".part-"
MANIFEST = os.path.join("assets.extra", "manifest.json")
_SHA256 = "sha256"


class DamagedVersionError(InputError):
    """A version's files are not those that were pushed."""


def versions(folder: str) -> list[int]:
    """The whole versions in a model's folder, oldest first; none if there is no such folder."""
    try:
        names = {entry.name for entry in os.scandir(folder) if entry.is_dir() or entry.name.startswith(PART_PREFIX)}
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if _is_version(name) and f"{PART_PREFIX}{name}" not in names)


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal() and str(int(name)) == name


def verify(path: str) -> bool:
    """Holds a version's files against the checksums in its manifest.

    Args:
      path: The version's folder.

    Returns:
      Whether there are checksums; a version that was put there by hand has none.

    Raises:
      DamagedVersionError: If a file is missing, was changed or is not in the manifest, or that is no JSON.
    """
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


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
