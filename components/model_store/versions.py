"""The serving folder: the store of pushed versions, which TF Serving watches and whose highest version it serves.

    serving/app_store/
      3/                 a version: a SavedModel and, in `assets.extra/`, its manifest, config, catalog and warm-up
      4/
      .part-5.8c1f02d9/  a version that is being copied, or whose copying process was killed
      .gone-2/           a version that is being removed
      .manifests/3-9f86d0…  named by the digest of a version's manifest, by which a change is found
      .removed/2.json    the manifest of a removed version
      .models/3/         an imported Model artifact: a version's files, if the model's own files are gone
      .pins.json         the versions that are never removed, with the reasons

A version appears by a rename once it is completely on the disk, and disappears by a rename before any of it is removed,
so a watcher sees complete versions only. A copy has a random name: even if a lock was lost, two processes never write
into one folder, and the second rename to a number fails.

A remote filesystem has no atomic rename. There, `.part-5` is an empty file that marks the folder `5` as incomplete; it
is written first and removed last, after the manifest, and `versions` skips a marked folder. A model server may read
such a version too early: it then fails to load it and tries again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import getpass
import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping

from filelock import FileLock

from components import fence, storage
from components.model_store.manifest import Manifest, check_digest, read_manifest, read_manifest_file, write_digest
from transform.files.version_layout import (
    GONE_PREFIX,
    MANIFEST_PATH,
    PART_PREFIX,
    DamagedVersionError,
    check_files,
    check_regular,
    pushed_versions,
    version_number,
)

#: The folder of the manifests of removed versions.
REMOVED_FOLDER = ".removed"

_MODELS_FOLDER = ".models"


def user() -> str:
    """Returns the name of the user who runs this process, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"uid {os.getuid()}"


@contextlib.contextmanager
def locked(root: str) -> Iterator[None]:
    """Waits for the lock of a serving folder, and holds it; every change to the folder requires it.

    The lock is a `flock` on a file beside the folder, and works on the file systems that `pipeline.claim.lock`
    names. For a remote folder the file is on this machine: it does not exclude pushes from other machines.
    """
    if storage.is_remote(root):
        path = os.path.join(tempfile.gettempdir(), f"wdr-{hashlib.sha256(root.encode()).hexdigest()[:16]}.lock")
    else:
        parent, name = os.path.split(root.rstrip("/"))
        storage.make_folder(parent)
        path = os.path.join(parent, f".{name}.lock")
    with FileLock(path):
        yield


def version_path(root: str, version: int) -> str:
    """Returns the folder of a version."""
    return os.path.join(root, str(version))


def models_folder(root: str) -> str:
    """Returns the folder of imported models, whose own files are gone; it has one folder per version."""
    return os.path.join(root, _MODELS_FOLDER)


def versions(root: str) -> list[int]:
    """Returns the complete versions in a serving folder, oldest first; the last one serves.

    Raises:
      InputError: If the name of a version's folder has leading zeros.
    """
    return pushed_versions(storage.names(root), root)


def history(root: str) -> dict[int, Manifest]:
    """Reads the manifests of all versions, existing and removed, by version, oldest first."""
    found = {version: read_manifest_file(_removed_manifest(root, version)) for version in _removed(root)}
    found |= {version: read_manifest(version_path(root, version)) for version in versions(root)}
    return dict(sorted(found.items()))


def _removed(root: str) -> list[int]:
    """Returns the removed versions whose manifests are kept."""
    names = [name.removesuffix(".json") for name in storage.names(os.path.join(root, REMOVED_FOLDER))]
    return [number for name in names if (number := version_number(name)) is not None and name == str(number)]


def _removed_manifest(root: str, version: int) -> str:
    return os.path.join(root, REMOVED_FOLDER, f"{version}.json")


def pushed_models(root: str) -> list[tuple[int, str]]:
    """Returns the version and the model's URI of every push and rollback, oldest first; the last one serves.

    A version that was added manually, without a manifest, is left out.
    """
    return [(version, m.model_uri) for version, m in history(root).items() if m.model_uri is not None]


def newest_span(manifests: Mapping[int, Manifest]) -> int | None:
    """Returns the newest span that the model that serves was trained on; None if its manifest names no span.

    Args:
      manifests: The manifests by version, oldest first, as returned by `history`.
    """
    return manifests[max(manifests)].newest_span if manifests else None


def checksums(folder: str) -> dict[str, str]:
    """Returns the SHA-256 of every file below a folder, except the manifest, by relative path."""
    return {name: storage.sha256(os.path.join(folder, name)) for name in storage.files(folder) if name != MANIFEST_PATH}


def verify(version_path: str) -> dict[str, str]:
    """Checks a version's manifest, and its files against the manifest; returns the files' checksums.

    Raises:
      DamagedVersionError: If there is no manifest, it is another one than at the push, or a file is missing, was
        changed, is not in the manifest or is not regular.
    """
    if not storage.is_remote(version_path):  # first, since a pipe in the manifest's place would never end
        check_regular(version_path, storage.files(version_path))
    expected = read_manifest(version_path).sha256
    if expected is None:
        raise DamagedVersionError(f"a pushed version must have a manifest with checksums ({version_path})")
    check_digest(version_path, os.path.join(version_path, MANIFEST_PATH))
    found = checksums(version_path)
    check_files(version_path, expected, found)
    return found


def damage(root: str, version: int) -> str:
    """Returns how a version, or the manifest of a removed one, differs from its push, as a sentence; or empty."""
    try:
        if version in versions(root):
            verify(version_path(root, version))
        else:
            check_digest(version_path(root, version), _removed_manifest(root, version))
    except DamagedVersionError as error:
        return str(error)
    return ""


def add_version(
    root: str, fill: Callable[[str], None], manifest: Manifest, sums: Mapping[str, str] | None = None
) -> int:
    """Adds the next version; it appears complete or not at all. The caller must hold the folder's lock.

    A process that holds a claim on a workspace checks, right before the version appears, that the claim is still valid.

    Args:
      root: The serving folder; created if missing.
      fill: Writes the version's files into the given empty folder.
      manifest: The manifest, in which the version's number, the time and the checksums are set.
      sums: The checksums, if they are known.

    Returns:
      The version, one above the highest version that the folder has or has a manifest of.

    Raises:
      LostClaimError: If another process has claimed the workspace meanwhile, or has removed the copy.
    """
    fence.check_locked()
    storage.make_folder(root)
    clear(root)
    version = max([*versions(root), *_removed(root)], default=0) + 1
    remote, final = storage.is_remote(root), version_path(root, version)
    name = f"{PART_PREFIX}{version}" if remote else f"{PART_PREFIX}{version}.{secrets.token_hex(4)}"
    part = os.path.join(root, name)
    if remote:
        storage.write_text(part, "")
    folder = final if remote else part
    storage.make_folder(folder)
    handle = None if remote else os.open(part, os.O_RDONLY)  # an open handle keeps the inode number from reuse
    try:
        fill(folder)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        found = dict(sums or checksums(folder))
        whole = dataclasses.replace(manifest, version=version, pushed_at=now, sha256=found)
        storage.write_text(os.path.join(folder, MANIFEST_PATH), whole.to_json())
        if not remote:
            storage.sync_all(part)
        fence.check_locked()
        write_digest(final, os.path.join(folder, MANIFEST_PATH))
        if handle is None:
            storage.remove(part)
        elif os.path.samestat(os.fstat(handle), os.stat(part)):
            os.rename(part, final)
        else:
            raise _removed_copy(part)
    except BaseException as error:
        if storage.exists(part):
            _clear(root, name)  # frees the space, in case the disk is full
        elif handle is not None and isinstance(error, FileNotFoundError):
            raise _removed_copy(part) from error
        raise
    finally:
        if handle is not None:
            os.close(handle)
    if not remote:
        storage.sync(root)
    return version


def _removed_copy(part: str) -> fence.LostClaimError:
    return fence.LostClaimError(
        f"a version must be copied by one process at a time, and another has removed this one's copy ({part})"
    )


def restore(root: str, version: int, *, rollback_of: int, reason: str) -> int:
    """Adds a version with the files of an earlier one: links to them on a local filesystem, copies elsewhere.

    A link is as good as a copy, since no code here writes into an existing version. The caller must hold the folder's
    lock.

    Args:
      root: The serving folder.
      version: The earlier version.
      rollback_of: The version that serves.
      reason: The reason of the rollback.

    Returns:
      The new version. Its manifest is the earlier one's, with the user, the reason and the two versions.

    Raises:
      DamagedVersionError: If the earlier version's files are not those that were pushed.
    """
    source = version_path(root, version)
    sums = verify(source)

    def fill(folder: str) -> None:
        storage.copy_folder(source, folder, link=True, leave_out=lambda name: name == MANIFEST_PATH)

    manifest = dataclasses.replace(
        read_manifest(source), restores=version, rollback_of=rollback_of, rollback_by=user(), rollback_reason=reason
    )
    return add_version(root, fill, manifest, sums)


def remove_version(root: str, version: int) -> None:
    """Removes a version atomically and keeps its manifest unread. The caller must hold the folder's lock."""
    path = version_path(root, version)
    manifest = storage.read_text(os.path.join(path, MANIFEST_PATH)) or Manifest().to_json()
    storage.write_text(_removed_manifest(root, version), manifest)
    if storage.exists(model := os.path.join(models_folder(root), str(version))):
        storage.remove(model)
    if storage.is_remote(root):
        storage.write_text(os.path.join(root, f"{PART_PREFIX}{version}"), "")
    else:
        os.rename(path, os.path.join(root, f"{GONE_PREFIX}{version}"))
        storage.sync(root)
    clear(root)


def clear(root: str) -> None:
    """Removes incomplete versions, which a push or a removal has left that is done, failed or was killed.

    The caller must hold the folder's lock.
    """
    for name in storage.names(root):
        if name.startswith((PART_PREFIX, GONE_PREFIX)):
            _clear(root, name)


def _clear(root: str, name: str) -> None:
    """Removes an incomplete version: after a rename on a local filesystem; else its folder, then the marker file."""
    path = os.path.join(root, name)
    if storage.is_remote(root):
        folder = os.path.join(root, name.removeprefix(PART_PREFIX))
        if storage.exists(folder):
            storage.remove(folder)
    elif name.startswith(PART_PREFIX):
        path = os.path.join(root, f"{GONE_PREFIX}{name}.{secrets.token_hex(4)}")
        os.rename(os.path.join(root, name), path)
    storage.remove(path)
