"""The simulated store's logs have the same content in every format."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.simulator import FORMATS, simulate
from pipeline.simulator.day_folders import LOGS

SIZES: dict[str, int] = {"num_days": 2, "impressions_per_day": 3000, "num_users": 300, "num_apps": 200}


@pytest.fixture(scope="module")
def rows_of_csv(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    out = tmp_path_factory.mktemp("csv")
    simulate(out, **SIZES)  # type: ignore[arg-type]
    return {log: read_rows(out, log, "csv", compress=False) for log in LOGS}


def read_rows(out: Path, log: str, file_format: str, *, compress: bool) -> list[dict[str, Any]]:
    """Returns the rows of day 2, with None for missing values; reads them with another library if there is one."""
    (path,) = (out / log / "day-2").glob("part-*")
    assert path.name == f"part-00000.{file_format}{'.gz' if compress else ''}"
    if file_format in ("csv", "tsv"):
        frame = pd.read_csv(path, sep={"csv": ",", "tsv": "\t"}[file_format])
        rows: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
        for row in rows:
            if "installed_apps" in row:
                row["installed_apps"] = row["installed_apps"].split("|")
        return rows
    if file_format == "jsonl":
        text = gzip.decompress(path.read_bytes()) if compress else path.read_bytes()
        return [json.loads(line) for line in text.splitlines()]
    if file_format == "parquet":
        table: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return table
    return list(map(example_as_row, tfrecords(path, compress)))


def tfrecords(path: Path, compress: bool) -> list[bytes]:
    import tensorflow as tf

    return list(tf.data.TFRecordDataset(str(path), "GZIP" if compress else "").as_numpy_iterator())


def example_as_row(record: bytes) -> dict[str, Any]:
    import tensorflow as tf

    row: dict[str, Any] = {}
    for name, feature in tf.train.Example.FromString(record).features.feature.items():
        values = list(getattr(feature, feature.WhichOneof("kind")).value) if feature.WhichOneof("kind") else [None]
        values = [value.decode() if isinstance(value, bytes) else value for value in values]
        row[name] = values if name == "installed_apps" else values[0]
    return row


@pytest.mark.parametrize(
    ("file_format", "compress"),
    [(name, False) for name in FORMATS] + [("csv", True), ("jsonl", True), ("tfrecord", True)],
)
def test_every_format_has_the_same_rows(
    tmp_path: Path, rows_of_csv: dict[str, list[dict[str, Any]]], file_format: str, compress: bool
) -> None:
    simulate(tmp_path, format=file_format, compress=compress, **SIZES)  # type: ignore[arg-type]
    for log, expected in rows_of_csv.items():
        rows = read_rows(tmp_path, log, file_format, compress=compress)
        assert len(rows) == len(expected) > 0
        for row, expected_row in zip(rows, expected, strict=True):
            row = {name: row.get(name) for name in expected_row} | row  # a tf.Example may omit a missing value
            assert row == {
                name: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
                for name, value in expected_row.items()
            }
