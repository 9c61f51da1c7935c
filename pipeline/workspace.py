"""The workspace: the folder that holds everything that runs write."""

from __future__ import annotations

import dataclasses
import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

from transform.errors import InputError

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2


def new_run_id() -> str:
    """Returns a new run id: the time in UTC, so that ids sort chronologically."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")


@dataclasses.dataclass(frozen=True)
class Workspace:
    """A folder that holds everything that a deployment's runs write."""

    root: Path

    @classmethod
    def at(cls, path: str | Path) -> Workspace:
        """Returns the workspace at a local path, which need not exist; TFX needs the path absolute."""
        if "://" in str(path):
            raise InputError(f"a workspace must be a local folder. Received: {path}")
        return cls(Path(path).absolute())

    @classmethod
    def existing(cls, path: str | Path) -> Workspace:
        """Returns the workspace at a local path, which a run must have created.

        Raises:
          InputError: If there is no workspace, for example because the path is mistyped.
        """
        workspace = cls.at(path)
        if not any((workspace.root / name).is_dir() for name in ("metadata", "artifacts", "serving")):
            raise InputError(f"there must be a workspace, which `wdr run` makes. Received: {workspace.root}")
        return workspace

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of trainings that are running or were killed."""
        return self.root / "checkpoints"

    @property
    def compiled(self) -> Path:
        return self.root / "compiled"

    @property
    def id_file(self) -> Path:
        """The file with the workspace's random id, by which an ML Metadata database identifies its workspace."""
        return self.root / ".workspace_id"

    @property
    def locks(self) -> Path:
        """Locks of single nodes, and the tokens of their claims."""
        return self.root / ".locks"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def metrics(self) -> Path:
        """Metrics for Prometheus: one file per pipeline."""
        return self.root / "metrics"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def temporary(self) -> Path:
        """Temporary files of the run in progress."""
        return self.root / "tmp"

    def serving(self, config_name: str) -> Path:
        """Returns the serving folder of a config: its pushed versions, in TF Serving's layout."""
        return self.root / "serving" / config_name

    def metadata_connection(self) -> metadata_store_pb2.ConnectionConfig:
        """Returns the connection to the server in WDR_METADATA_URL, else to SQLite in `metadata/`, which it creates."""
        from pipeline.metadata.connection import METADATA_URL, connection_from

        if url := os.environ.get(METADATA_URL):
            return connection_from(url)
        return self.sqlite_connection()

    def sqlite_connection(self) -> metadata_store_pb2.ConnectionConfig:
        """Returns the connection to SQLite in `metadata/`, which it creates."""
        from ml_metadata.proto import metadata_store_pb2  # imported here, as few commands need it

        folder = self.root / "metadata"
        folder.mkdir(parents=True, exist_ok=True)
        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(folder / "metadata.db")
        connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return connection
