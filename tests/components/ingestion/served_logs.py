"""A small log of served rankings for tests: its config, candidates and events, written as `wdr export-log` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components import storage
from components.ingestion.served.exported import EXPORT_RECORD, ExportRecord, record_path
from transform.config.config import Config
from transform.config.config_file import parse_config

Row = dict[str, Any]

#: 2026-12-01 00:00 UTC, in seconds since 1970.
DAY = 1_796_083_200.0
DATE = "2026-12-01"

SOURCES: Row = {
    "impressions": {
        "path": "served/{YYYY}-{MM}-{DD}/impressions-*.parquet",
        "format": "serving_log",
        "impression_id": "impression_id",
        "request_id": "request_id",
        "timestamp": "timestamp",
    },
    "installs": {
        "path": "served/{YYYY}-{MM}-{DD}/events-*.parquet",
        "format": "serving_log",
        "keys": ["request_id", "item_id"],
        "timestamp": "timestamp",
        "attribution_seconds": 100,
    },
    "tables": {
        "catalog": {"path": "catalog/*.csv", "format": "csv", "key": "app"},
        "users": {"path": "users/*.csv", "format": "csv", "key": "user"},
    },
}


def served_config(installs: Row | None = None, **sections: Any) -> Config:
    """Returns a config of served rankings with a catalog and users; `installs` replaces or adds keys of `installs`."""
    sources = {**SOURCES, "installs": {**SOURCES["installs"], **(installs or {})}}
    return parse_config(
        {
            "name": "store",
            "sources": sources,
            "features": [
                {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}},
                {"name": "page", "side": "context", "kind": "categorical", "vocabulary": {}, "required": True},
                {"name": "price", "side": "item", "kind": "numeric", "source": "catalog", "num_quantiles": 4},
                {"name": "owned", "side": "context", "kind": "categorical_list", "source": "users", "vocabulary": {}},
                {"name": "place", "column": "log.position", "side": "item", "kind": "numeric", "num_quantiles": 2},
            ],
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
            "ingestion": {"split_by": "request_hash", "eval_fraction": 0.5},
            **sections,
        },
        "store.yaml",
    )


def candidate(request: str, item: str, time: float, rank: int = 1, **features: Any) -> Row:
    """Returns a candidate of a request at `time` seconds of the day; `features` are those of context and item."""
    row = {
        "request_id": request,
        "item_id": item,
        "timestamp": DAY + time,
        "rank": rank,
        "score": 0.5,
        "propensity": 1.0,
        "policy": "score_order",
        "model": "store",
        "version": 1,
        "user": "u",
    }
    return {**row, "context.page": "top", "context.owned": ["a"], "item.price": 1.0, **features}


def event(request: str, item: str, kind: str, time: float, **more: Any) -> Row:
    """Returns an event at `time` seconds of the day, which arrives at once; a shown item is at the position 1."""
    position = 1.0 if kind == "shown" else None
    row = {"request_id": request, "item_id": item, "type": kind, "timestamp": DAY + time, "position": position}
    return {**row, "forged": False, "received": DAY + max(time, 0.0), **more}


def write_export(
    data: Path, impressions: Sequence[Row], events: Sequence[Row], date: str = DATE, export: str = "a"
) -> None:
    """Writes a whole export of one hour of a day."""
    written = []
    for name, rows in (("impressions", impressions), ("events", events)):
        path = data / "served" / date / f"{name}-00-{export}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(list(rows))
        for column in ("timestamp", "received"):
            if column in table.column_names:
                micros = pa.array([None if t is None else round(t * 1e6) for t in table[column].to_pylist()])
                times = micros.cast(pa.timestamp("us", "UTC"))
                table = table.set_column(table.column_names.index(column), column, times)
        pq.write_table(table, path)
        written.append(f"{date}/{path.name}")
    storage.write_text(record_path(str(data / "served"), export), EXPORT_RECORD.to_json(ExportRecord((), written)))


def write_tables(data: Path) -> None:
    """Writes the catalog; no table of users, as none is read."""
    (data / "catalog").mkdir(parents=True)
    (data / "catalog" / "apps.csv").write_text("app,price\nx,1.0\ny,2.0\nz,3.0\n")
