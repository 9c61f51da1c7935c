"""What ML Metadata's tables on PostgreSQL need before a run writes to them."""

from __future__ import annotations

import psycopg
from ml_metadata.proto import metadata_store_pb2
from psycopg import sql
from tfx.orchestration import metadata

#: ML Metadata indexes the values of all properties as they are, and a row of such an index takes 2,704 bytes. A list of
#: log files, a config or a schema is longer, and TFX asks for nothing by a property's value.
_ON_VALUES = ("idx_artifact_property_string", "idx_context_property_string", "idx_execution_property_string")


def allow_long_values(connection: metadata_store_pb2.ConnectionConfig) -> None:
    """Drops the indexes that refuse long values, where ML Metadata is on PostgreSQL and has them.

    Args:
      connection: To ML Metadata, which makes its tables if need be.

    Raises:
      psycopg.Error: If the server cannot be reached, or its user does not own the tables.
    """
    if connection.WhichOneof("config") != "postgresql":
        return
    with metadata.Metadata(connection):
        pass  # makes the tables
    server = connection.postgresql
    with psycopg.connect(
        host=server.host, port=server.port, user=server.user, password=server.password or None, dbname=server.dbname
    ) as database:
        found = database.execute("SELECT indexname FROM pg_indexes WHERE indexname = ANY(%s)", [list(_ON_VALUES)])
        for (name,) in found.fetchall():
            database.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
