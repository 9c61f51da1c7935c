"""`wdr score` of rows of nested objects and structs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.batch_scoring.score import ScoreResult, score_file
from tests.pipeline.nested_logs import (
    nested_config,
    rows_of_log,
    write,
)
from tests.pipeline.score_model import adder, write_model
from tests.transform.small_config import small_config


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("model") / "1", nested_config())


def test_rows_of_nested_objects_are_scored(model: str, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"note": {"x": [1]}, "item": {"id": "a", "more": 1}, "user": {"apps": ["a", "b"]}},
        {"note": None, "item": {"id": "b"}, "user": None},
        {"note": 2, "item": "a", "user": {"apps": None}},
        {"note": 3, "item": {"id": "a"}, "user": {}, "item.id": "b"},
        {"note": 4, "item": {"id": "a"}, "user": {"apps": "a|b"}},
        {"note": 5, "user": {"apps": "a"}},
    ]
    path = write(tmp_path / "in.jsonl", rows)
    assert score_file(model, str(path), str(tmp_path / "out.jsonl")) == ScoreResult(str(tmp_path / "out.jsonl"),
        5, 1, ("line 3: `item.id` needs an object as `item`. Received: str 'a'",)
    )  # fmt: skip
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    scores = [row.pop("score") for row in written]
    assert [None if score is None else np.float32(score) for score in scores] == [
        adder(1, 2), adder(2, 0), None, adder(2, 0), adder(1, 2), adder(0, 1, named=False),
    ]  # fmt: skip
    assert written == rows


#: A table whose columns begin with the name of a column of the log.
OF_TABLE = (("features.2.column", "app.price"), ("sources.tables.catalog.key", "app.id"))


@pytest.fixture(scope="module")
def model_of_table(tmp_path_factory: pytest.TempPathFactory) -> str:
    config = small_config(*OF_TABLE, ("sources.tables.catalog.impression_key", "app"))
    return write_model(tmp_path_factory.mktemp("model") / "1", config)


@pytest.mark.parametrize("name", ["in.jsonl", "in.parquet"])
def test_a_table_s_path_may_begin_with_the_name_of_the_log_s_column(
    model_of_table: str, tmp_path: Path, name: str
) -> None:
    path = write(tmp_path / name, [{"app": "a", "installed": ["a", "b"]}, {"app": "b", "installed": []}])
    assert score_file(model_of_table, str(path), str(tmp_path / "out.jsonl")) == ScoreResult(
        str(tmp_path / "out.jsonl"), 2, 0, ()
    )
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [np.float32(row["score"]) for row in written] == [adder(1, 2), adder(2, 0)]


def test_a_null_in_the_first_row_is_no_object_of_a_table(model_of_table: str, tmp_path: Path) -> None:
    rows = [{"app": None, "installed": []}, {"app": "b", "installed": []}]
    path = write(tmp_path / "in.jsonl", rows)
    assert score_file(model_of_table, str(path), str(tmp_path / "out.jsonl")) == ScoreResult(
        str(tmp_path / "out.jsonl"), 2, 0, ()
    )
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [np.float32(row["score"]) for row in written] == [adder(0, 0, named=False), adder(2, 0)]


def test_only_the_values_of_a_row_are_written(model: str, tmp_path: Path) -> None:
    rows = [
        {"x.y": None, "item": {"id": "a"}, "user": {"apps": []}, "x": {"y": 2}},
        {"item": {"id": "a"}, "user": {"apps": []}, "x": {"y": 2}},
        {"item": {"id": "a"}, "user": {"apps": []}, "x": "t"},
        {"x.y": 3},
        {},
    ]
    path = write(tmp_path / "in.jsonl", rows)
    path.write_text(path.read_text() + "{\n")
    assert score_file(model, str(path), str(tmp_path / "out.jsonl")).num_unscored == 1
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row.get("x.y") for row in written] == [None, None, None, 3, None, None]
    assert written[-1] == {"score": None}


def test_rows_of_structs_and_flat_rows_are_scored(model: str, tmp_path: Path) -> None:
    rows = [{"item": {"id": "a"}, "user": {"apps": ["a", "b"]}}, {"item": {"id": "b"}, "user": None}]
    path = write(tmp_path / "in.parquet", rows)
    assert score_file(model, str(path), str(tmp_path / "out.jsonl")) == ScoreResult(
        str(tmp_path / "out.jsonl"), 2, 0, ()
    )
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [np.float32(row.pop("score")) for row in written] == [adder(1, 2), adder(2, 0)]
    assert written == rows
    (tmp_path / "in.csv").write_text("item.id,user.apps\na,a|b\n")
    assert score_file(model, str(tmp_path / "in.csv"), str(tmp_path / "out.csv")) == ScoreResult(
        str(tmp_path / "out.csv"), 1, 0, ()
    )
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "item.id,user.apps,score"


def test_a_member_that_no_row_has_is_told(model: str, tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", [{"item": {"id": "a"}, "user": {"app": []}}])
    report = score_file(model, str(path), str(tmp_path / "out.jsonl"))
    note = (
        "none of the first 1 rows has the columns ['user.apps']; in a row without them, their values are missing; "
        f"close to `user.apps`: `user` ({path})"
    )
    assert report == ScoreResult(str(tmp_path / "out.jsonl"), 1, 0, (), (note,))


def test_a_table_of_nested_objects_can_be_read_anew(model: str, tmp_path: Path) -> None:
    write(tmp_path / "apps.jsonl", [{"app": {"id": "a"}, "terms": {"price": 5}}, {"app": "b", "terms": {"price": 7}}])
    write(tmp_path / "log.jsonl", rows_of_log())
    path = write(tmp_path / "in.jsonl", [{"item": {"id": app}, "user": {"apps": []}} for app in "ab"])
    score_file(model, str(path), str(tmp_path / "out.jsonl"), data_root=str(tmp_path))
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [np.float32(row["score"]) for row in written] == [adder(5, 0), adder(0, 0)]
