"""The layout of a model's folder of versions, which the Pusher writes, and TF Serving and the model server read.

    app_store/
      3/                 a version: a SavedModel, and files beside it in `assets.extra/`
      .part-5.8c1f02d9/  a version that is being copied
      .gone-2/           a version that is being removed

This module imports the standard library and `transform.errors` only, so that components and servers share it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping

from transform.errors import InputError

#: The prefixes of a version that is being copied or removed; TF Serving takes only numbers as versions.
PART_PREFIX = ".part-"
GONE_PREFIX = ".gone-"

#: The file that every SavedModel has in its folder.
SAVED_MODEL_FILE = "saved_model.pb"

#: The folder for files beside the SavedModel's own; TF Serving reads only its warm-up requests.
EXTRA_ASSETS = "assets.extra"

#: Names in `EXTRA_ASSETS`: the manifest, with the model's lineage and the files' checksums; the config; the catalog, a
#: folder of tables; and the warm-up requests, a TFRecord file of `PredictionLog`s, whose name TF Serving prescribes.
#: Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup
MANIFEST_FILE = "manifest.json"
CONFIG_FILE = "config.json"
CATALOG_FOLDER = "catalog"
WARMUP_FILE = "tf_serving_warmup_requests"

#: The manifest's path in a version.
MANIFEST_PATH = f"{EXTRA_ASSETS}/{MANIFEST_FILE}"

#: The numbers of candidate items in a version's warm-up requests, and of those that infra validation times: 200
#: candidates in one batch, in two batches on two threads, in four on four. Source: the paper's table 2.
CANDIDATE_COUNTS = (200, 100, 50)

#: In a manifest: the SHA-256 of each of the version's files but the manifest, in hexadecimal, by path in the version.
SHA256 = "sha256"

#: The most digits of a version: an int64 has 19. TF Serving's quickstart writes eight, with leading zeros.
_MAX_DIGITS = 19


class DamagedVersionError(InputError):
    """A version's files are not those that were pushed."""


def version_number(name: str) -> int | None:
    """Returns the version that TF Serving reads from a folder's name; None if it is no version.

    A name may have leading zeros: `00000123` is version 123.
    Source: tensorflow_serving/sources/storage_path/file_system_storage_path_source.cc, `ParseVersionNumber`.
    """
    if not (name.isascii() and name.isdecimal() and len(name) <= _MAX_DIGITS):
        return None
    number = int(name)
    return number if number < 2**63 else None


def complete_versions(names: Iterable[str]) -> dict[int, str]:
    """Returns the versions among the names in a model's folder, without those that `.part-` marks as incomplete.

    Args:
      names: The names, in any order.

    Returns:
      The folders' names by version, in no order. Of several names of one version, the shortest counts.
    """
    existing = set(names)
    complete = [
        name for name in existing if version_number(name) is not None and f"{PART_PREFIX}{name}" not in existing
    ]
    return {int(name): name for name in sorted(complete, key=len, reverse=True)}


def find_model_folders(folder: str, depth: int = 3) -> dict[str, list[int]]:
    """Returns the folders of versions that are a folder or at most `depth` levels below it, for an error message.

    Args:
      folder: The folder; of one that does not exist, its nearest existing parent is searched, its own level alone.
      depth: The number of levels.

    Returns:
      Each folder's versions, in rising order, by path; folders that cannot be read are passed over.
    """
    if not os.path.isdir(folder):
        parent = os.path.dirname(os.path.abspath(folder))
        return find_model_folders(parent, 1) if parent != folder else {}
    found: dict[str, list[int]] = {}
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    complete = complete_versions(names)
    numbers = [n for n, name in complete.items() if os.path.isfile(os.path.join(folder, name, SAVED_MODEL_FILE))]
    if numbers:
        found[folder] = sorted(numbers)
    elif depth > 0:
        for name in names:
            if not name.startswith(".") and os.path.isdir(path := os.path.join(folder, name)):
                found |= find_model_folders(path, depth - 1)
    return found


def pushed_versions(names: Iterable[str], folder: str) -> list[int]:
    """Returns the complete versions in a folder that the Pusher writes to, oldest first.

    The Pusher names a version's folder by the number alone, and finds it by that name. Another name of a version, such
    as `007`, would not be found, while TF Serving would serve it as version 7.

    Raises:
      InputError: If a version's name has leading zeros.
    """
    existing = list(names)
    if padded := sorted(
        name for name in existing if (number := version_number(name)) is not None and name != str(number)
    ):
        raise InputError(
            "a version's folder must be named by its number without leading zeros: rename or remove it. Received: "
            f"{', '.join(padded)} ({folder})"
        )
    return sorted(complete_versions(existing))


def catalog_digest(sha256: Mapping[str, str]) -> str:
    """Returns the digest of a snapshot of the catalog: the SHA-256 of the lines that `sha256sum` would print of it.

    Args:
      sha256: The SHA-256 of each of the snapshot's files, in hexadecimal, by path in the snapshot. Of a version these
        are the entries of its manifest below `assets.extra/catalog/`.

    Returns:
      The digest in hexadecimal. The digest of one file `apps/0.gz` with the SHA-256 `ab…` is that of the line
      `ab…  apps/0.gz`, a newline at its end.
    """
    lines = (f"{checksum}  {path}\n" for path, checksum in sorted(sha256.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Describes the files in which two folders' checksums differ; empty if they are the same."""
    words = [f"{name} is missing" for name in expected if name not in found]
    words += [f"{name} was changed" for name in found if found[name] != expected.get(name, found[name])]
    words += [f"{name} was added" for name in found if name not in expected]
    return words


def check_files(version_path: str, expected: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Compares the checksums of a version's files with those in its manifest.

    Raises:
      DamagedVersionError: If a file is missing, was changed or is not in the manifest.
    """
    if wrong := differences(expected, found):
        raise DamagedVersionError(
            f"a version's files must be those that were pushed. Received: {', '.join(wrong)} ({version_path})"
        )


def check_regular(version_path: str, names: Iterable[str]) -> None:
    """Checks that a local version has regular files only: a pipe could be read forever.

    Raises:
      DamagedVersionError: If a file is not regular: a pipe, or a symbolic link to itself or to a missing file.
    """
    if odd := sorted(name for name in names if not _is_regular(os.path.join(version_path, name))):
        raise DamagedVersionError(
            f"a version must have regular files only. Received: {', '.join(odd)} ({version_path})"
        )


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
