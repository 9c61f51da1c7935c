"""The few file operations that pushed versions need: local ones by the system, others by TensorFlow's filesystems.

On a local path nothing here imports TensorFlow, so that a rollback does not wait for its seconds of start-up. A path
with `://` (gs://, s3://) goes through `tf.io.gfile`, where there is neither fsync nor a link nor an atomic rename.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from typing import IO, Any

_BLOCK_BYTES = 1 << 20


def is_remote(path: str) -> bool:
    """Whether a path is on one of TensorFlow's filesystems, not on this machine's."""
    return "://" in path


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile


def _open(path: str, mode: str) -> IO[Any]:
    file: IO[Any]
    if is_remote(path):
        file = _gfile().GFile(path, mode)
    else:
        file = open(path, mode, encoding=None if "b" in mode else "utf-8")  # noqa: SIM115
    return file


def exists(path: str) -> bool:
    """Whether there is a file or a folder."""
    return bool(_gfile().exists(path)) if is_remote(path) else os.path.lexists(path)


def names(folder: str) -> list[str]:
    """The names in a folder, sorted; none if there is no such folder."""
    if is_remote(folder):
        found = _gfile().listdir(folder) if _gfile().isdir(folder) else []
        return sorted(name.rstrip("/") for name in found)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def files(folder: str) -> list[str]:
    """The paths, relative to a folder, of all files below it, sorted."""
    walk = _gfile().walk if is_remote(folder) else os.walk
    found = [os.path.join(directory, name) for directory, _, found_names in walk(folder) for name in found_names]
    return sorted(os.path.relpath(path, folder) for path in found)


def read_text(path: str) -> str | None:
    """A file's text; None if there is no such file."""
    if is_remote(path) and not exists(path):
        return None
    try:
        with _open(path, "r") as file:
            text: str = file.read()
    except FileNotFoundError:
        return None
    return text


def write_text(path: str, text: str) -> None:
    """Writes a file, which appears whole or not at all, and, on this machine, survives a power cut."""
    folder, part = os.path.dirname(path) or ".", f"{path}.part"
    make_folder(folder)
    with _open(part, "w") as file:
        file.write(text)
    if is_remote(path):
        _gfile().rename(part, path, overwrite=True)
    else:
        sync(part)
        os.replace(part, path)
        sync(folder)


def sha256(path: str) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with _open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def make_folder(folder: str) -> None:
    """Makes a folder and those above it, where they are missing."""
    if is_remote(folder):
        _gfile().makedirs(folder)
    else:
        os.makedirs(folder, exist_ok=True)


def copy_folder(
    source: str, target: str, *, link: bool = False, leave_out: Callable[[str], bool] = lambda relative: False
) -> None:
    """Copies the files below a folder; SavedModel's own file last, since model servers look for it first.

    Args:
      source: The folder.
      target: Where its files go; made if missing.
      link: Give the files a second name in place of a copy, if both folders are of one local filesystem that can.
      leave_out: Of a file's path relative to `source`, whether it is left out.
    """
    make_folder(target)
    for relative in sorted(files(source), key=lambda name: name == "saved_model.pb"):
        if leave_out(relative):
            continue
        old, new = os.path.join(source, relative), os.path.join(target, relative)
        make_folder(os.path.dirname(new))
        if is_remote(old) or is_remote(new):
            _gfile().copy(old, new)
        elif not (link and _linked(old, new)):
            shutil.copyfile(old, new)


def _linked(old: str, new: str) -> bool:
    try:
        os.link(old, new)
    except OSError:  # a filesystem without links, or with too many of this file: a copy does as well
        return False
    return True


def remove(path: str) -> None:
    """Removes a file, or a folder and all below it."""
    if is_remote(path):
        (_gfile().rmtree if _gfile().isdir(path) else _gfile().remove)(path)
    elif os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.remove(path)


def sync_all(folder: str) -> None:
    """Makes all below a local folder survive a power cut."""
    for directory, _, found in os.walk(folder):
        for path in [directory, *(os.path.join(directory, name) for name in found)]:
            sync(path)


def sync(path: str) -> None:
    """Makes a local file's content, or a local folder's list of names, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
