"""The store of pushed versions: a folder that TF Serving watches, of which it serves the highest number.

    serving/app_store/
      3/                 a version: a SavedModel and, in `assets.extra/`, what goes with it and its manifest
      4/
      .part-5.8c1f02d9/  a version that is still being copied, or was when its process was killed
      .gone-2/           a version that is being removed
      .removed/2.json    the manifest of a version that was removed
      .models/3/         a version's files as ML Metadata has a model's, where the model's own are gone
      .pins.json         which versions are never removed, and why

A version appears by a rename once all of it is on the disk, and goes by a rename before any of it is removed, so that a
watcher sees whole versions only. A copy has a random name: where a lock was lost, two processes never write into one
folder, and the second rename to a number fails.

A remote filesystem has no such rename. There, `.part-5` is an empty file that says that the folder `5` is not whole; it
is written first and removed last, after the manifest, and `versions` heeds it. A model server there may look into a
version too early: it then fails to load it and tries again.
"""

from __future__ import annotations

import contextlib
import datetime
import getpass
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from filelock import FileLock

from components import fence, storage
from transform.errors import InputError

#: The prefixes of a version that is still being copied, or being removed; TF Serving takes numbers only for versions.
PART_PREFIX = ".part-"
GONE_PREFIX = ".gone-"

#: The folder of the manifests of removed versions.
REMOVED_FOLDER = ".removed"

_MODELS_FOLDER = ".models"

#: Beside the SavedModel's own files, and not looked at by TF Serving but for its warm-up requests.
EXTRA_ASSETS = "assets.extra"
CONFIG_FILE = "config.json"
CATALOG_FOLDER = "catalog"

#: In a version's extra assets: what was pushed, from what, with the files' checksums.
MANIFEST_FILE = "manifest.json"

#: In a manifest: the place of the model, by which ML Metadata knows it.
MODEL_URI = "model_uri"
#: In a manifest: the spans that the model was trained on in its run.
SPANS = "spans"
#: The version that served before, which the model was held against, and that version's model.
BASELINE = "baseline"
#: The names of the model's signatures; and, by name, why it lacks one that ranks.
SIGNATURES, ABSENT_SIGNATURES = "signatures", "absent_signatures"
#: Of a model that a gate refused: who pushed it all the same, the reason, and the refusals.
FORCED = "forced"
#: What the store itself writes into a manifest.
VERSION, PUSHED_AT, SHA256 = "version", "pushed_at", "sha256"
#: In the manifest of a rollback: the version whose files it has, and the version that served before it.
RESTORES, ROLLBACK_OF = "restores", "rollback_of"

_MANIFEST = f"{EXTRA_ASSETS}/{MANIFEST_FILE}"

Manifest = dict[str, Any]


class DamagedVersionError(InputError):
    """A version's files are not those that were pushed."""


def user() -> str:
    """Who runs this process, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"uid {os.getuid()}"


@contextlib.contextmanager
def locked(root: str) -> Iterator[None]:
    """Holds the lock of a serving folder, which all that changes it take; waits for it.

    The lock, of `flock`, is a file beside the folder, and holds on the file systems that `pipeline.workspace_lock`
    names. For a remote folder it is a file on this machine: processes of other machines that push there are not kept
    apart.
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
    """The folder of a version."""
    return os.path.join(root, str(version))


def models_folder(root: str) -> str:
    """The folder of the models that stand in for some whose own files are gone, by version."""
    return os.path.join(root, _MODELS_FOLDER)


def versions(root: str) -> list[int]:
    """The whole versions in a serving folder, oldest first; the last one serves."""
    found = storage.names(root)
    return sorted(int(name) for name in found if name.isdecimal() and f"{PART_PREFIX}{name}" not in found)


def read_manifest(version_path: str) -> Manifest:
    """The manifest of a version; empty if the version was put there by hand, without one."""
    return _parse(os.path.join(version_path, _MANIFEST))


def history(root: str) -> dict[int, Manifest]:
    """By version, oldest first, the manifests of those that are there and of those that were removed."""
    removed = os.path.join(root, REMOVED_FOLDER)
    found = {
        int(name.removesuffix(".json")): _parse(os.path.join(removed, name))
        for name in storage.names(removed)
        if name.removesuffix(".json").isdecimal()
    }
    found |= {version: read_manifest(version_path(root, version)) for version in versions(root)}
    return dict(sorted(found.items()))


def pushed_models(root: str) -> list[tuple[int, str]]:
    """Version and model's place of every push and rollback, oldest first; the last one serves.

    A version that was put there by hand, without a manifest, is left out.
    """
    return [(v, manifest[MODEL_URI]) for v, manifest in history(root).items() if MODEL_URI in manifest]


def newest_span(root: str) -> int | None:
    """The newest span that the model that serves was trained on; None if no manifest tells."""
    manifests = list(history(root).values())
    return max(manifests[-1].get(SPANS, []), default=None) if manifests else None


def _parse(path: str) -> Manifest:
    text = storage.read_text(path)
    if text is None:
        return {}
    try:
        manifest: Manifest = json.loads(text)
    except ValueError as error:
        raise DamagedVersionError(f"a manifest must be JSON. Received: {error} ({path})") from error
    return manifest


def checksums(folder: str) -> dict[str, str]:
    """The SHA-256 of every file below a folder, by its path in it; the manifest left out."""
    return {name: storage.sha256(os.path.join(folder, name)) for name in storage.files(folder) if name != _MANIFEST}


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """In words, by which files two folders' checksums differ; empty if they are the same."""
    words = [f"{name} is missing" for name in expected if name not in found]
    words += [f"{name} was changed" for name in found if found[name] != expected.get(name, found[name])]
    words += [f"{name} was added" for name in found if name not in expected]
    return words


def verify(version_path: str) -> dict[str, str]:
    """Checks a version's files against its manifest; returns their checksums.

    Raises:
      DamagedVersionError: If there is no manifest, or a file is missing, was changed or is not in the manifest.
    """
    expected = read_manifest(version_path).get(SHA256)
    if expected is None:
        raise DamagedVersionError(f"a pushed version must have a manifest with checksums ({version_path})")
    found = checksums(version_path)
    if wrong := differences(expected, found):
        raise DamagedVersionError(
            f"a version's files must be those that were pushed. Received: {', '.join(wrong)} ({version_path})"
        )
    return found


def add_version(
    root: str, fill: Callable[[str], None], manifest: Mapping[str, Any], sums: Mapping[str, str] | None = None
) -> int:
    """Adds the next version; it appears whole or not at all. The caller holds the folder's lock.

    A process that runs under a claim on a workspace looks, right before the version appears, whether it still has it.

    Args:
      root: The serving folder; made if missing.
      fill: Writes the version's files into the folder that it is given, which is empty.
      manifest: What the manifest says beside the version's number, the time and the checksums.
      sums: The checksums, where they are known.

    Returns:
      The version, one above the highest that there ever was, as far as its manifest is kept.

    Raises:
      LostClaimError: If the workspace is another process's by now, or another has removed the copy.
    """
    fence.check_held()
    storage.make_folder(root)
    clear(root)
    version = max(history(root), default=0) + 1
    remote, final = storage.is_remote(root), version_path(root, version)
    name = f"{PART_PREFIX}{version}" if remote else f"{PART_PREFIX}{version}.{secrets.token_hex(4)}"
    part = os.path.join(root, name)
    if remote:
        storage.write_text(part, "")
    folder = final if remote else part
    storage.make_folder(folder)
    handle = None if remote else os.open(part, os.O_RDONLY)  # while it is open, its number is no other folder's
    try:
        fill(folder)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        whole = {**manifest, VERSION: version, PUSHED_AT: now, SHA256: dict(sums or checksums(folder))}
        storage.write_text(os.path.join(folder, _MANIFEST), json.dumps(whole, indent=2, sort_keys=True))
        if not remote:
            storage.sync_all(part)
        fence.check_held()
        if handle is None:
            storage.remove(part)
        elif os.path.samestat(os.fstat(handle), os.stat(part)):
            os.rename(part, final)
        else:
            raise _removed_copy(part)
    except BaseException as error:
        if storage.exists(part):
            _clear(root, name)  # a full disk has room again
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


def restore(root: str, version: int, manifest: Mapping[str, Any]) -> int:
    """Adds a version with the files of an earlier one: links to them on a local filesystem, copies elsewhere.

    Nothing here writes into a version that is there, so that a link is as good as a copy. The caller holds the folder's
    lock.

    Args:
      root: The serving folder.
      version: The earlier version.
      manifest: What the new version's manifest says beside what the earlier one's does.

    Returns:
      The new version.

    Raises:
      DamagedVersionError: If the earlier version's files are not those that were pushed.
    """
    source = version_path(root, version)
    sums = verify(source)

    def fill(folder: str) -> None:
        storage.copy_folder(source, folder, link=True, leave_out=lambda name: name == _MANIFEST)

    return add_version(root, fill, {**read_manifest(source), **manifest, RESTORES: version}, sums)


def remove_version(root: str, version: int) -> None:
    """Removes a version; it goes all at once, and its manifest is kept. The caller holds the folder's lock."""
    path = version_path(root, version)
    text = json.dumps(read_manifest(path), indent=2, sort_keys=True)
    storage.write_text(os.path.join(root, REMOVED_FOLDER, f"{version}.json"), text)
    if storage.exists(model := os.path.join(models_folder(root), str(version))):
        storage.remove(model)
    if storage.is_remote(root):
        storage.write_text(os.path.join(root, f"{PART_PREFIX}{version}"), "")
    else:
        os.rename(path, os.path.join(root, f"{GONE_PREFIX}{version}"))
        storage.sync(root)
    clear(root)


def clear(root: str) -> None:
    """Removes what is no whole version: of a push or a removal that is done, failed or was killed.

    The caller holds the folder's lock.
    """
    for name in storage.names(root):
        if name.startswith((PART_PREFIX, GONE_PREFIX)):
            _clear(root, name)


def _clear(root: str, name: str) -> None:
    """Removes one that is no whole version: at once on a local filesystem, else before the file that says so."""
    path = os.path.join(root, name)
    if storage.is_remote(root):
        folder = os.path.join(root, name.removeprefix(PART_PREFIX))
        if storage.exists(folder):
            storage.remove(folder)
    elif name.startswith(PART_PREFIX):
        path = os.path.join(root, f"{GONE_PREFIX}{name}.{secrets.token_hex(4)}")
        os.rename(os.path.join(root, name), path)
    storage.remove(path)
