"""Tests of `wdr export-log`: each sealed file is exported once, whole, and what is not exported is counted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingestion.served.exported import ExportRecord, export_records, whole_files
from pipeline.log_export.export import export_log
from tests.components.ingestion.served_logs import served_config
from tests.pipeline.log_export.stores import catalogs, example, log_events, log_requests


def export(folder: Path, **given: Any) -> ExportRecord | None:
    """Exports the folder `log` beside `folder` into it."""
    log = folder.parent / "log"
    return export_log(served_config(), [str(log)], str(folder), catalogs, str(folder.parent / "log.key"), **given)


def rows_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Returns the rows of the whole files of a kind, as `serving_log` reads them."""
    paths = whole_files(sorted(str(path) for path in folder.glob(f"????-??-??/{kind}-*.parquet")))
    tables = [pq.ParquetFile(path).read() for path in paths]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist() if tables else []
    return rows


def test_candidates_have_what_was_sent_or_what_the_catalog_of_their_version_has(tmp_path: Path) -> None:
    ids = log_requests(
        tmp_path / "log",
        [
            {"user_key": "u1", "propensities": [0.5, 0.25]},
            {"item_features": [example(price=9.0), b""], "context": example(page="new", other="left out")},
        ],
    )
    record = export(tmp_path / "out")
    assert record is not None
    assert (record.num_requests, record.num_candidates, record.num_events, record.skipped) == (2, 4, 0, {})
    rows = rows_of(tmp_path / "out", "impressions")
    assert [(row["request_id"], row["item_id"], row["rank"]) for row in rows] == [
        (ids[0], "x", 1),
        (ids[0], "y", 2),
        (ids[1], "x", 1),
        (ids[1], "y", 2),
    ]
    assert [row["item.price"] for row in rows] == [
        1.5,
        pa.scalar(0.1, pa.float32()).as_py(),
        9.0,
        rows[1]["item.price"],
    ]
    assert [row["context.page"] for row in rows] == ["top", "top", "new", "new"]
    assert [row["context.owned"] for row in rows] == [["a", "b"], ["a", "b"], None, None]
    assert [row["propensity"] for row in rows] == [0.5, 0.25, 1.0, 1.0]
    assert [(row["user"], row["policy"], row["version"]) for row in rows[::2]] == [
        ("u1", "score_order", 7),
        ("", "score_order", 7),
    ]
    assert not any("other" in name for name in rows[0])


def test_each_sealed_file_is_exported_once(tmp_path: Path) -> None:
    first = log_requests(tmp_path / "log", [{}])
    assert export(tmp_path / "out") is not None
    assert export(tmp_path / "out") is None
    second = log_requests(tmp_path / "log", [{}])
    record = export(tmp_path / "out")
    assert record is not None
    assert (len(record.read), record.num_requests) == (1, 1)
    assert sorted({row["request_id"] for row in rows_of(tmp_path / "out", "impressions")}) == sorted(first + second)


def test_a_file_that_was_changed_since_is_counted_and_not_read_again(tmp_path: Path) -> None:
    log_requests(tmp_path / "log", [{}])
    export(tmp_path / "out")
    (path,) = (tmp_path / "log").glob("*.log")
    path.write_bytes(path.read_bytes() * 2)
    log_requests(tmp_path / "log", [{}])
    record = export(tmp_path / "out")
    assert record is not None
    assert record.skipped == {"changed_files": 1}
    assert record.num_requests == 1


def test_what_cannot_be_a_row_is_counted(tmp_path: Path) -> None:
    log_requests(
        tmp_path / "log",
        [
            {},
            {"catalog_digest": "gone"},  # two candidates
            {"context": b"\xff"},  # two candidates: no tf.Example
            {"context": example(page=1.0)},  # two: of another type
            {"context": example(page=["top", "new"])},  # two: several values of a feature that has one
            {"context": example(page=b"\xff")},  # two: not UTF-8
            {"item_features": [example(price="dear"), b""]},  # one
        ],
    )
    before = {*(tmp_path / "log").glob("*.log")}
    log_requests(tmp_path / "log", [{}] * 3)
    (last,) = {*(tmp_path / "log").glob("*.log")} - before
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1  # in the second of three frames
    last.write_bytes(content[:-5])  # and the third is a half
    record = export(tmp_path / "out")
    assert record is not None
    assert record.num_requests == 8
    skipped = dict(record.skipped)
    assert skipped.pop("skipped_bytes") > 0
    assert skipped == {"no_catalog": 2, "other_types": 9, "damaged_frames": 1, "half_frames": 1}
    assert record.num_candidates == 2 * 8 - 2 - 9


def test_events_are_posted_or_in_files(tmp_path: Path) -> None:
    (request,) = log_requests(tmp_path / "log", [{}])
    now = time.time()
    log_events(tmp_path / "log", [(request, "x", "shown", now, 3), (request, "x", "install", now - 5.5, None)])
    log_events(tmp_path / "log", [(f"{request[:-2]}AA", "x", "install", now, None)])
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "a.jsonl").write_text(
        f'{{"request": "{request}", "item": " y ", "type": "shown", "time": 86400.5, "position": 1}}\n'
        "\n"
        f'{{"request": "{request}", "item": "y", "type": "install", "time": 86401, "position": 1}}\n'
        '{"request": "r", "item": "y", "type": "bought", "time": 86401}\n' + "x" * 40_000 + "\n"
    )
    record = export(tmp_path / "out", events=[str(tmp_path / "events")])
    assert record is not None
    rows = {(row["item_id"], row["type"], row["forged"]): row for row in rows_of(tmp_path / "out", "events")}
    assert sorted(rows) == [
        ("x", "install", False),
        ("x", "install", True),
        ("x", "shown", False),
        ("y", "shown", False),
    ]
    assert rows["x", "shown", False]["position"] == 3.0
    assert rows["x", "install", False]["position"] is None
    assert rows["x", "install", False]["timestamp"].timestamp() == round((now - 5.5) * 1e6) / 1e6
    assert rows["y", "shown", False]["received"].timestamp() == 86400.5
    assert (tmp_path / "out" / "1970-01-02").is_dir()
    assert record.skipped == {"bad_lines": 5}  # 40,001 bytes are three pieces


def test_what_the_writers_lost_is_said(tmp_path: Path) -> None:
    log_requests(tmp_path / "log", [{}, {"item_ids": ["x", "x"]}])
    record = export(tmp_path / "out")
    assert record is not None
    assert list(record.lost.values()) == [1]
    assert export_records(str(tmp_path / "out")) == [record]
