"""What to tell of an error that is the machine's: a full disk, or a database server that is away."""

from __future__ import annotations

import re

import psycopg

from pipeline.disk_full import disk_full, is_disk_full
from pipeline.error_texts import first_line
from pipeline.metadata_url import place_of
from pipeline.workspace import Workspace

#: In TFX's and ML Metadata's words: no connection at the start, or lost on the way. MySQL's client has the numbers from
#: 2000 on; what a server answers to a query (`ERROR: …`) is no outage.
_NO_METADATA = re.compile(
    r"Failed to establish connection to Metadata storage"
    r"|PostgreSQL metadata source error: (?!\s*ERROR)"
    r"|mysql_\w+ failed: errno: 2\d\d\d\b"
)


def outage(error: BaseException, workspace: Workspace) -> str | None:
    """One sentence on an error that a retry gets over, once the cause is mended; None for any other error."""
    if is_disk_full(error):
        return disk_full(workspace)
    connection = workspace.metadata_connection()
    is_away = isinstance(error, psycopg.OperationalError) or _NO_METADATA.search(str(error))
    if connection.WhichOneof("config") != "sqlite" and is_away:
        place = place_of(connection)
        return f"ML Metadata cannot be used at {place}; when it can, the same command goes on ({first_line(error)})"
    return None
