"""The integrity of an SQLite database of ML Metadata.

ML Metadata 1.21.0 takes some 20 s to give up a damaged file, TFX and this project ten tries, and none names the file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

from transform.errors import UserError

#: What SQLite says of a damaged file, also through ML Metadata.
DAMAGED = ("file is not a database", "database disk image is malformed")

#: SQLite's codes of a damaged file, and of one that it cannot open. Others, such as of a lock, may pass.
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_UNREADABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)

#: How long another process that writes is waited for, in seconds.
_TIMEOUT_SECONDS = 5.0


class DamagedMetadataError(UserError):
    """The file of ML Metadata's database is damaged, or cannot be read."""


def check_database(connection: metadata_store_pb2.ConnectionConfig, *, whole: bool = False) -> None:
    """Checks that the file of a database can be read; does nothing without a file, or for a database on a server.

    Args:
      connection: The connection.
      whole: Whether to read all pages, which takes a second for some 200 MB; else the first row of each table is read.

    Raises:
      DamagedMetadataError: If it cannot.
    """
    path = connection.sqlite.filename_uri if connection.WhichOneof("config") == "sqlite" else ""
    if not path or not os.path.exists(path):
        return
    try:
        # For writing: what a killed process has left half-written is undone first, as ML Metadata would.
        uri = f"{Path(path).absolute().as_uri()}?mode=rw"  # escaped: a folder's name may have a `%` or a `?`
        with contextlib.closing(sqlite3.connect(uri, _TIMEOUT_SECONDS, uri=True)) as database:
            found = _first_problem(database, whole)
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without the extended code
        if code not in (*_DAMAGE, *_UNREADABLE):
            return
        found = str(error)
    if found:
        raise DamagedMetadataError(damaged(path, found))


def damaged(path: str, received: str) -> str:
    """Returns the sentence on a database that is damaged."""
    return (
        f"ML Metadata's database must be an SQLite file that can be read. Received: {received} ({path}). What serves "
        'is not touched; "Copy and restore" in docs/how_to/operate.md says how to go on'
    )


def _first_problem(database: sqlite3.Connection, whole: bool) -> str:
    """Returns what SQLite finds; empty if it finds nothing."""
    if whole:
        (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
        return "" if found == "ok" else " ".join(str(found).split())
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in tables:
        database.execute(f'SELECT * FROM "{name}" LIMIT 1').fetchone()  # noqa: S608 (a name from the file itself)
    return ""
