"""Writes the schema derived from a config as a file in the workspace, for ImportSchemaGen."""

from __future__ import annotations

import hashlib
from pathlib import Path

from components import storage
from pipeline.workspace import Workspace
from transform.config.config import Config
from transform.schema import schema_text


def schema_path(config: Config, workspace: Workspace) -> Path:
    """Returns the schema's path; its name is a hash of the content, since ImportSchemaGen's cache compares the path."""
    digest = hashlib.sha256(schema_text(config).encode()).hexdigest()
    return workspace.compiled / f"schema-{digest[:16]}.pbtxt"


def write_schema(config: Config, workspace: Workspace) -> None:
    """Writes the schema; must be called before a run reads it."""
    storage.write_text(str(schema_path(config, workspace)), schema_text(config))
