"""TFX's handle to ML Metadata, and a change to its tables on PostgreSQL that a run needs.

The handle is not part of `tfx.v1`: as of TFX 1.21.0, its `__enter__` opens `_store` by `_connection_config`.
"""

from __future__ import annotations

import psycopg
from psycopg import sql
from tfx.orchestration import metadata

from pipeline.metadata.integrity import check_database
from pipeline.metadata.store import is_postgresql, open_store

#: ML Metadata 1.21.0 indexes the values of all string properties. PostgreSQL limits an index row to 2,704 bytes, and a
#: list of log files, a config or a schema is longer. TFX never queries by a property's value.
_INDEXES_ON_VALUES = (
    "idx_artifact_property_string",
    "idx_context_property_string",
    "idx_execution_property_string",
)


class Metadata(metadata.Metadata):  # type: ignore[misc]
    """TFX's handle to ML Metadata, with the store of `pipeline.metadata.store`."""

    def __enter__(self) -> Metadata:
        check_database(self._connection_config)
        super().__enter__()
        self._store = open_store(self._connection_config)
        return self


def allow_long_values(connection: metadata.ConnectionConfigType) -> None:
    """Drops the indexes that reject long values, if ML Metadata is on PostgreSQL and has them.

    Args:
      connection: The connection to ML Metadata; opening it creates missing tables.

    Raises:
      psycopg.Error: If the server cannot be reached, or its user does not own the tables.
    """
    if not is_postgresql(connection):
        return
    with Metadata(connection):
        pass  # creates the tables
    server = connection.postgresql
    with psycopg.connect(
        host=server.host, port=server.port, user=server.user, password=server.password or None, dbname=server.dbname
    ) as database:
        names = [list(_INDEXES_ON_VALUES)]
        found = database.execute("SELECT indexname FROM pg_indexes WHERE indexname = ANY(%s)", names)
        for (name,) in found.fetchall():
            database.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
