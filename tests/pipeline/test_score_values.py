"""`wdr score` writes the values that it only passes through as they were, in each output format."""

from __future__ import annotations

import csv
import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.batch_scoring.score import ScoreResult, score_file
from tests.components.ingestion.raw_rows import read_rows
from tests.pipeline.score_model import adder, write_model
from tests.transform.small_config import small_config
from transform.config.settings import Ingestion
from transform.errors import InputError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    separators = [("sources.impressions.list_separator", ";"), ("sources.tables.catalog.list_separator", "/")]
    tags = {"name": "tags", "side": "item", "kind": "categorical_list", "source": "catalog", "vocabulary": {}}
    config = small_config(*separators, ("features.3", tags))
    return write_model(tmp_path_factory.mktemp("model") / "1", config)


def scored(model: str, path: Path, output: str) -> list[dict[str, Any]]:
    report = score_file(model, str(path), str(path.parent / output))
    assert report.num_unscored == 0, report
    text = (path.parent / output).read_text(encoding="utf-8")
    return (
        list(csv.DictReader(text.splitlines())) if output.endswith("csv") else list(map(json.loads, text.splitlines()))
    )


@pytest.mark.parametrize("output", ["out.csv", "out.jsonl"])
def test_times_of_a_parquet_file_are_written_as_texts(model: str, tmp_path: Path, output: str) -> None:
    # 1768467600 is 2026-01-15 09:00:00 UTC.
    in_utc = [1_768_467_600_000, 1_768_467_600_250, None, -500]
    table = {
        "app": ["a"] * 4,
        "installed": [""] * 4,
        "utc": pa.array(in_utc, pa.timestamp("ms", "UTC")),
        "local": pa.array([1_768_467_600] * 4, pa.timestamp("s")),
        "fine": pa.array([1_768_467_600_000_001_000, 999_999_999, 0, 1], pa.timestamp("ns")),
        "times": pa.array([[1_768_467_600], [], None, [0]], pa.list_(pa.timestamp("s"))),
    }
    pq.write_table(pa.table(table), tmp_path / "in.parquet")
    rows = scored(model, tmp_path / "in.parquet", output)
    none = "" if output == "out.csv" else None
    assert [row["utc"] for row in rows] == [
        "2026-01-15 09:00:00Z", "2026-01-15 09:00:00.250000Z", none, "1969-12-31 23:59:59.500000Z",
    ]  # fmt: skip
    assert {row["local"] for row in rows} == {"2026-01-15 09:00:00"}
    assert [row["fine"] for row in rows] == [
        "2026-01-15 09:00:00.000001", "1970-01-01 00:00:00.999999", "1970-01-01 00:00:00", "1970-01-01 00:00:00",
    ]  # fmt: skip
    assert [row["times"] for row in rows] == (
        ["2026-01-15 09:00:00", "", "", "1970-01-01 00:00:00"]
        if output == "out.csv"
        else [["2026-01-15 09:00:00"], [], None, ["1970-01-01 00:00:00"]]
    )
    assert datetime.datetime.fromisoformat(rows[1]["utc"]).timestamp() == 1_768_467_600.25  # as ingestion reads it


def test_objects_are_json_and_lists_have_their_source_s_separator_in_csv(model: str, tmp_path: Path) -> None:
    row = {
        "app": "a",
        "installed": ["a", None, "b"],
        "price": 1,
        "tags": ["x", "y"],
        "more": [1, 2.5, True],
        "member": {"y": None, "text": "é", "yes": True},
        "members": [{"x": 1}],
        "yes": True,
    }
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (found,) = scored(model, path, "out.csv")
    assert np.float32(found.pop("score")) == adder(1, 2)
    assert found == {
        "app": "a",
        "installed": "a;;b",
        "price": "1",
        "tags": "x/y",
        "more": "1;2.5;true",
        "member": '{"y": null, "text": "é", "yes": true}',
        "members": '[{"x": 1}]',
        "yes": "true",
    }
    again = tmp_path / "again.csv"
    again.write_text((tmp_path / "out.csv").read_text(encoding="utf-8").replace("score", "before"), encoding="utf-8")
    assert np.float32(scored(model, again, "more.csv")[0]["score"]) == adder(1, 2)


def test_a_carriage_return_stands_in_quotes_in_csv_and_in_no_tsv(model: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"app": "a", "installed": "", "price": 1, "tags": "", "note": "one\rtwo"}) + "\n")
    assert score_file(model, str(path), str(tmp_path / "out.csv")) == ScoreResult(str(tmp_path / "out.csv"), 1, 0, ())
    (row,) = read_rows(str(tmp_path / "out.csv"), "csv", ["app", "note", "score"], Ingestion())
    assert row.values is not None
    assert (row.values["app"], row.values["note"]) == ("a", "one\rtwo")
    with pytest.raises(InputError, match=r"^a tsv file cannot hold a tab or a line end in a value; .*line 1 \("):
        score_file(model, str(path), str(tmp_path / "out.tsv"))
