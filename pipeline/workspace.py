"""Where a run puts what it makes."""

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
    """A name for a run, by which runs sort in time."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")


@dataclasses.dataclass(frozen=True)
class Workspace:
    """A folder that holds everything of one deployment's runs."""

    root: Path

    @classmethod
    def at(cls, path: str | Path) -> Workspace:
        """The workspace in a local folder, which need not exist; the path is made absolute, as TFX wants it."""
        if "://" in str(path):
            raise InputError(f"a workspace must be a local folder. Received: {path}")
        return cls(Path(path).absolute())

    @classmethod
    def existing(cls, path: str | Path) -> Workspace:
        """The workspace in a local folder, which a run has made.

        Raises:
          InputError: If there is none, such as at a mistyped path.
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
        """Of trainings that are running or were killed."""
        return self.root / "checkpoints"

    @property
    def compiled(self) -> Path:
        return self.root / "compiled"

    @property
    def id_file(self) -> Path:
        """Has the workspace's random id, by which a database of ML Metadata knows it."""
        return self.root / ".workspace_id"

    @property
    def locks(self) -> Path:
        """Of single nodes, and the tokens of their claims."""
        return self.root / ".locks"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def metrics(self) -> Path:
        """For monitoring: a file for each pipeline."""
        return self.root / "metrics"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def temporary(self) -> Path:
        """Of the run that is going on."""
        return self.root / "tmp"

    def serving(self, config_name: str) -> Path:
        """The folder of a config's pushed versions, as TF Serving wants it."""
        return self.root / "serving" / config_name

    def metadata_connection(self) -> metadata_store_pb2.ConnectionConfig:
        """ML Metadata: the server that the environment names, else SQLite in this workspace, whose folder it makes."""
        from ml_metadata.proto import metadata_store_pb2  # late: few commands need it

        from pipeline.metadata.connection import METADATA_URL, connection_from

        if url := os.environ.get(METADATA_URL):
            return connection_from(url)
        folder = self.root / "metadata"
        folder.mkdir(parents=True, exist_ok=True)
        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(folder / "metadata.db")
        connection.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return connection
