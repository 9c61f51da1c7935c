"""A small store's logs for the ingestion tests: its config, good and bad rows, and writers for every format."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from transform.config.config import Config
from transform.config.config_file import parse_config

Row = dict[str, Any]


def store_config(
    file_format: str = "csv",
    suffix: str = "",
    *,
    broadcast: bool = True,
    reject: bool = False,
    leave_out_unknown_labels: bool = False,
    **sections: Any,
) -> Config:
    """Returns a config of impressions with installs, a catalog and users; `sections` replaces or adds sections."""

    def source(name: str, **more: Any) -> Row:
        return {"path": f"{name}/*.{file_format}{suffix}", "format": file_format, **more}

    return parse_config(
        {
            "name": "store",
            "sources": {
                "impressions": source(
                    "impressions", impression_id="impression", request_id="request", timestamp="time"
                ),
                "installs": source(
                    "installs",
                    keys=["user", "app"],
                    timestamp="at",
                    attribution_seconds=100,
                    leave_out_unknown_labels=leave_out_unknown_labels,
                ),
                "tables": {
                    "catalog": source("catalog", key="app", broadcast=broadcast, reject_unmatched=reject),
                    "users": source("users", key="user", reject_unmatched=reject),
                },
            },
            "features": [
                {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}},
                {"name": "page", "side": "context", "kind": "categorical", "vocabulary": {}, "required": True},
                {"name": "price", "side": "item", "kind": "numeric", "source": "catalog", "num_quantiles": 4},
                {"name": "title", "side": "item", "kind": "categorical", "source": "catalog", "vocabulary": {}},
                {"name": "owned", "side": "context", "kind": "categorical_list", "source": "users", "vocabulary": {}},
            ],
            "ingestion": {"eval_fraction": 0.5, "max_rejected_fraction": 0.9},
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
            **sections,
        },
        "test",
    )


def impression(number: int, user: Any, app: Any, time: Any, page: Any = "home", request: Any = None) -> Row:
    return {
        "impression": f"i{number}",
        "request": request or f"r{number // 2}",
        "time": time,
        "user": user,
        "app": app,
        "page": page,
    }


CATALOG: list[Row] = [
    {"app": "a0", "price": 0.5, "title": "Éclair, “sweet”"},
    {"app": "a1", "price": 1.25, "title": 'say "hi"'},
    {"app": "a2", "price": None, "title": "two lines"},
    {"app": "a1", "price": 9.0, "title": "again"},
]
USERS: list[Row] = [
    {"user": "u0", "owned": ["a0", "a1"]},
    {"user": "u1", "owned": None},
    {"user": "u2", "owned": ["a2"]},
]
INSTALLS: list[Row] = [{"user": f"u{i % 4}", "app": f"a{i % 5}", "at": 1050.0 + 10 * i} for i in range(12)]
GOOD = 40
IMPRESSIONS: list[Row] = [
    *(impression(i, f"u{i % 4}", f"a{i % 5}", 1000.0 + 10 * i) for i in range(GOOD)),
    impression(100, None, "a1", 1000.0),
    impression(101, "u1", "a1", -5.0),
    impression(102, "u1", "a1", 1000.0, page=None),
    impression(3, "u1", "a1", 1000.0),
    impression(104, "x" * 200_000, "a1", 1000.0),
]
#: The reasons of the last rows of IMPRESSIONS, in their order.
REASONS = ["missing_value", "bad_type", "missing_value", "duplicate_impression_id", "too_long"]


def write_store(root: Path, file_format: str, suffix: str = "", **replaced: list[Row]) -> None:
    """Writes all sources below a folder, the impressions as two files."""
    tables = {"impressions": IMPRESSIONS, "installs": INSTALLS, "catalog": CATALOG, "users": USERS} | replaced
    for name, rows in tables.items():
        folder = root / name
        folder.mkdir(parents=True)
        half = GOOD // 2 if name == "impressions" else len(rows)
        for part, some in enumerate([rows[:half], rows[half:]]):
            if some:
                write_rows(folder / f"part-{part}.{file_format}{suffix}", file_format, some)


def write_rows(path: Path, file_format: str, rows: list[Row]) -> None:
    """Writes rows; csv and tsv join lists by `|`; in tsv, values must have no tab, line end or quote."""
    names = list(rows[0])
    if file_format == "parquet":
        pq.write_table(pa.table({name: [row[name] for row in rows] for name in names}), path)
        return
    if file_format == "tfrecord":
        with tf.io.TFRecordWriter(str(path), "GZIP" if path.suffix == ".gz" else "") as records:
            for row in rows:
                records.write(_example(row))
        return
    with io.StringIO(newline="") as file:
        if file_format == "jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        elif file_format == "tsv":
            file.write("\t".join(names) + "\n")
            file.writelines("\t".join(_text(row[name]) for name in names) + "\n" for row in rows)
        else:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows([_text(row[name]) for name in names] for row in rows)
        content = file.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def _text(value: Any) -> str:
    return "" if value is None else "|".join(value) if isinstance(value, list) else str(value)


def _example(row: Row) -> bytes:
    example = tf.train.Example()
    for name, value in row.items():
        feature = example.features.feature[name]
        for item in value if isinstance(value, list) else [] if value is None else [value]:
            if isinstance(item, str):
                feature.bytes_list.value.append(item.encode())
            else:
                feature.float_list.value.append(item)
    return bytes(example.SerializeToString())
