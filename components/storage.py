"""File operations on local paths with the standard library and on others with `tf.io.gfile`.

For a local path nothing here imports TensorFlow, so `wdr check` and a rollback do not wait seconds for its start-up.
A path with `://` (gs://, s3://) uses `tf.io.gfile`, which has no fsync, no links and no atomic rename.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import os
import shutil
import uuid
from collections.abc import Callable
from typing import IO, Any, NamedTuple

_BLOCK_BYTES = 1 << 20


def is_remote(path: str) -> bool:
    """Returns whether a path is on one of TensorFlow's filesystems instead of this machine's."""
    return "://" in path


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile


class _RemoteFile(io.RawIOBase):
    """A remote file, open for reading bytes, as a file of the standard library."""

    def __init__(self, path: str) -> None:
        self._file = _gfile().GFile(path, "rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        import tensorflow as tf

        try:
            content = self._file.read(len(buffer))
        except tf.errors.OpError as error:
            raise OSError(error.message) from error
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_bytes(path: str) -> IO[bytes]:
    """Opens a file for reading bytes; then, or when it is read, OSError is raised if it does not exist."""
    return io.BufferedReader(_RemoteFile(path)) if is_remote(path) else open(path, "rb")


def exists(path: str) -> bool:
    """Returns whether a file or a folder exists; raises OSError if that cannot be known."""
    if is_remote(path):
        return bool(_gfile().exists(path))
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


class Status(NamedTuple):
    """A file's size in bytes, and when it was last written, in nanoseconds since 1970."""

    num_bytes: int
    written_at: int


def status(path: str) -> Status:
    """Returns a file's status; raises FileNotFoundError if it does not exist, or OSError if it cannot be read."""
    if not is_remote(path):
        found = os.stat(path)
        return Status(found.st_size, found.st_mtime_ns)
    import tensorflow as tf

    try:
        found = tf.io.gfile.stat(path)
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(error.message) from error
    except tf.errors.OpError as error:
        raise OSError(error.message) from error
    return Status(found.length, found.mtime_nsec)


def is_folder(path: str) -> bool:
    """Returns whether a path is a folder."""
    return bool(_gfile().isdir(path)) if is_remote(path) else os.path.isdir(path)


def matches(root: str, pattern: str) -> list[str]:
    """Returns the paths that a pattern matches, sorted, hidden ones too.

    Args:
      root: The folder that the pattern is relative to; its name is no pattern.
      pattern: A path in which `*` and `?` match any characters, or one, but no `/`, and `[ab]` one of some characters.
    """
    if is_remote(root) or is_remote(pattern):
        return sorted(_gfile().glob(os.path.join(root, pattern)))
    return sorted(glob.glob(os.path.join(glob.escape(root), pattern), include_hidden=True))


def check_listable(root: str, pattern: str) -> None:
    """Raises OSError if `matches`, of the same arguments, lacks the paths of a local folder that cannot be listed."""
    if is_remote(root) or is_remote(pattern):
        return  # an object store lists all paths at once, or raises an error
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        if glob.has_magic(part):
            for folder in matches(root, "/".join(parts[:number])):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # it has no paths
                    os.scandir(folder).close()


def names(folder: str) -> list[str]:
    """Returns the names in a folder, sorted; empty if there is no such folder; raises OSError if it is unreadable."""
    if is_remote(folder):
        found = _gfile().listdir(folder) if _gfile().isdir(folder) else []
        return sorted(name.rstrip("/") for name in found)
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def files(folder: str) -> list[str]:
    """Returns the paths of all files below a folder, relative to it, sorted."""
    walk = _gfile().walk if is_remote(folder) else os.walk
    found = [os.path.join(directory, name) for directory, _, found_names in walk(folder) for name in found_names]
    return sorted(os.path.relpath(path, folder) for path in found)


def read_text(path: str) -> str | None:
    """Returns a file's text; None if there is no such file."""
    if is_remote(path) and not exists(path):
        return None
    try:
        with open_bytes(path) as file:
            return file.read().decode()
    except FileNotFoundError:
        return None


def write_text(path: str, text: str) -> None:
    """Writes a text in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file through a rename, so that it appears complete or not at all; a local file survives a power cut.

    Two processes may write the same file at once, as a runner may try a task again while its first attempt goes on.
    """
    folder, part = os.path.dirname(path) or ".", f"{path}.{uuid.uuid4().hex}.part"
    make_folder(folder)
    with _gfile().GFile(part, "wb") if is_remote(path) else open(part, "wb") as file:
        file.write(content)
    if is_remote(path):
        _gfile().rename(part, path, overwrite=True)
    else:
        sync(part)
        os.replace(part, path)
        sync(folder)


def sha256(path: str) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open_bytes(path) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def make_folder(folder: str) -> None:
    """Creates a folder and its parents if they are missing."""
    if is_remote(folder):
        _gfile().makedirs(folder)
    else:
        os.makedirs(folder, exist_ok=True)


def copy_folder(
    source: str, target: str, *, link: bool = False, leave_out: Callable[[str], bool] = lambda relative: False
) -> None:
    """Copies the files below a folder; `saved_model.pb` last, since model servers look for it first.

    Args:
      source: The folder.
      target: The folder to copy to; created if missing.
      link: Whether to create hard links instead of copies, if both folders are on one local filesystem with links.
      leave_out: Returns whether to leave out a file, given its path relative to `source`.
    """
    make_folder(target)
    for relative in sorted(files(source), key=lambda name: name == "saved_model.pb"):
        if leave_out(relative):
            continue
        copy_file(os.path.join(source, relative), os.path.join(target, relative), link=link)


def copy_file(source: str, target: str, *, link: bool = False) -> None:
    """Copies a file to a path where there is none; creates the folder. `link` is that of `copy_folder`."""
    make_folder(os.path.dirname(target))
    if is_remote(source) or is_remote(target):
        _gfile().copy(source, target)
    elif not (link and _linked(source, target)):
        shutil.copyfile(source, target)


def _linked(old: str, new: str) -> bool:
    try:
        os.link(old, new)
    except OSError:  # a filesystem without links, or too many links to this file: the caller copies
        return False
    return True


def remove(path: str) -> None:
    """Removes a file, or a folder with all its contents."""
    if is_remote(path):
        (_gfile().rmtree if _gfile().isdir(path) else _gfile().remove)(path)
    elif os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.remove(path)


def sync_all(folder: str) -> None:
    """Calls fsync on a local folder and everything below it, so that it survives a power cut."""
    for directory, _, found in os.walk(folder):
        for path in [directory, *(os.path.join(directory, name) for name in found)]:
            sync(path)


def sync(path: str) -> None:
    """Calls fsync on a local file, or on a local folder's list of names, so that it survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
