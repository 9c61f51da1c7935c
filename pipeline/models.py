"""The pushed versions of a workspace, for a person."""

from __future__ import annotations

import os

from rich.table import Table

from components.versions import read_manifest, versions
from pipeline.workspace import Workspace
from transform.errors import InputError


def versions_table(workspace: Workspace) -> Table:
    """A table of all pushed versions; TF Serving serves the highest of each model."""
    serving = workspace.root / "serving"
    names = sorted(path.name for path in serving.iterdir() if path.is_dir()) if serving.is_dir() else []
    if not names:
        raise InputError(f"nothing was pushed yet ({serving})")
    table = Table(box=None, pad_edge=False)
    for header in ("model", "version", "spans", "serves", "where"):
        table.add_column(header, overflow="fold")
    for name in names:
        root = str(workspace.serving(name))
        found = versions(root)
        for version in found:
            path = os.path.join(root, str(version))
            spans = ", ".join(str(span) for span in read_manifest(path).get("spans", ["?"]))
            table.add_row(name, str(version), spans, "yes" if version == found[-1] else "", path)
    return table
