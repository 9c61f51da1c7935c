"""The connection to ML Metadata on a database server: a URL in the environment, never in one of the project's files."""

from __future__ import annotations

import urllib.parse

from ml_metadata.proto import metadata_store_pb2

from transform.errors import InputError

#: The environment variable with the URL; without it, ML Metadata is an SQLite file in the workspace.
METADATA_URL = "WDR_METADATA_URL"

_PORTS = {"postgresql": 5432, "mysql": 3306}
_FORM = (
    f"{METADATA_URL} must be postgresql:// or mysql://USER:PASSWORD@HOST:PORT/DATABASE, and nothing behind it; "
    "characters such as / and @ in a password are written as %2F and %40. What was received is not shown"
)


def connection_from(url: str) -> metadata_store_pb2.ConnectionConfig:
    """Parses a URL such as `postgresql://user:password@host:5432/database`.

    Raises:
      InputError: If it is not such a URL; the message repeats no part of it.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:  # its message may contain part of the password
        raise InputError(_FORM) from error
    database = parts.path.removeprefix("/")
    fits = parts.scheme in _PORTS and parts.hostname and parts.username and database and "/" not in database
    if not fits or parts.query or parts.fragment:
        raise InputError(_FORM)
    user, password = urllib.parse.unquote(str(parts.username)), urllib.parse.unquote(parts.password or "")
    connection = metadata_store_pb2.ConnectionConfig()
    server = getattr(connection, parts.scheme)
    server.host, server.user, server.password = str(parts.hostname), user, password
    if parts.scheme == "postgresql":
        server.port, server.dbname = str(port), database
    else:
        server.port, server.database = port, database
    return connection


def place_of(connection: metadata_store_pb2.ConnectionConfig) -> str:
    """Returns ML Metadata's location for messages: an SQLite file's path, or a server's URL without credentials."""
    match connection.WhichOneof("config"):
        case "postgresql":
            server = connection.postgresql
            return f"postgresql://{server.host}:{server.port}/{server.dbname}"
        case "mysql":
            return f"mysql://{connection.mysql.host}:{connection.mysql.port}/{connection.mysql.database}"
        case _:
            return str(connection.sqlite.filename_uri)
