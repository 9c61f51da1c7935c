"""Writes logs of nested objects, and a config that reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.transform.small_config import small_config
from transform.config.config import Config


def write(path: Path, rows: list[Any]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


NESTED_LOG = {"path": "log.jsonl", "format": "jsonl", "label": "clicked", "request_id": "request.id"}
NESTED_TABLE = (
    ("sources.tables.catalog.path", "apps.jsonl"),
    ("sources.tables.catalog.format", "jsonl"),
    ("sources.tables.catalog.key", "app.id"),
    ("sources.tables.catalog.impression_key", "item.id"),
)
NESTED_FEATURES = (
    ("features.0.column", "item.id"),
    ("features.1.column", "user.apps"),
    ("features.2.column", "terms.price"),
)


def nested_config() -> Config:
    return small_config(("sources.impressions", NESTED_LOG), *NESTED_TABLE, *NESTED_FEATURES)


def rows_of_log(**of_user: Any) -> list[Any]:
    return [{"request": {"id": "r"}, "item": {"id": "a"}, "user": of_user, "clicked": i % 2} for i in range(4)]


APPS = [{"app": {"id": "a"}, "terms": {"price": 1.5}}]
