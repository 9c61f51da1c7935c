"""`wdr score` of jsonl rows that do not all have the same keys."""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.batch_scoring import input_rows
from pipeline.batch_scoring.explain import explain_file
from pipeline.batch_scoring.score import ScoreResult, score_file
from tests.pipeline.score_model import adder, write_model
from tests.transform.small_config import small_config
from transform.errors import InputError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("model") / "1", small_config())


def written(folder: Path, rows: list[Any]) -> str:
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "in.jsonl")


def read(folder: Path, name: str = "out.jsonl") -> list[dict[str, Any]]:
    text = (folder / name).read_text()
    return list(csv.DictReader(text.splitlines())) if name.endswith("csv") else list(map(json.loads, text.splitlines()))


def test_each_row_is_written_with_its_own_keys(model: str, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"app": "a"}, {"note": 1, "app": "b", "installed": ["a", "b"]}, {"more": {"x": 2}}]
    path = written(tmp_path, rows)
    assert score_file(model, path, str(tmp_path / "out.jsonl")) == ScoreResult(str(tmp_path / "out.jsonl"), 3, 0, ())
    found = read(tmp_path)
    assert [np.float32(row.pop("score")) for row in found] == [adder(1, 0), adder(2, 2), adder(0, 0, named=False)]
    assert [list(row.items()) for row in found] == [list(row.items()) for row in rows]
    score_file(model, path, str(tmp_path / "out.csv"))
    assert list(read(tmp_path, "out.csv")[0]) == ["app", "note", "installed", "more", "score"]


def test_blank_and_unreadable_first_lines_are_none_of_a_row_s_concern(model: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('\ufeff\n{"app": \n{"app": "b", "installed": "a"}\n')
    report = score_file(model, str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl"))
    assert (report.num_scored, report.num_unscored) == (1, 1)
    assert report.problems[0].startswith("line 2: a row must be a JSON object")
    first, second = read(tmp_path)
    assert (first, np.float32(second["score"])) == ({"score": None}, adder(2, 1))


def test_a_column_that_none_of_the_first_rows_has_is_a_missing_value_and_is_told(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_rows, "MAX_FIRST", 2)
    path = written(tmp_path, [{"app": "a"}, {"app": "b"}, {"app": "a", "installed": "b", "x": 1}])
    report = score_file(model, path, str(tmp_path / "out.csv"))
    notes = (
        "none of the first 2 rows has the columns ['installed']; in a row without them, their values are missing "
        f"({path})",
        "1 rows have keys that none of the first 2 rows has; the csv file has no columns for them, while jsonl output "
        "has all keys. Received: ['installed', 'x']",
    )
    assert report == ScoreResult(str(tmp_path / "out.csv"), 3, 0, (), notes)
    assert [np.float32(row["score"]) for row in read(tmp_path, "out.csv")] == [adder(1, 0), adder(2, 0), adder(1, 1)]
    assert score_file(model, path, str(tmp_path / "out.jsonl")).notes == notes[:1]
    assert read(tmp_path)[2]["x"] == 1
    with caplog.at_level(logging.WARNING):
        assert len(list(explain_file(model, path, 3))) == 3
    assert notes[0] in caplog.messages


def test_a_table_s_column_that_some_of_the_first_rows_have_is_read_from_the_rows(model: str, tmp_path: Path) -> None:
    score_file(model, written(tmp_path, [{"app": "a"}, {"app": "b", "price": 7}]), str(tmp_path / "out.jsonl"))
    assert [np.float32(row["score"]) for row in read(tmp_path)] == [adder(0, 0), adder(7, 0)]


def test_the_table_s_key_must_be_in_one_of_the_first_rows(model: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^the columns \['price'\] are missing; they can be had by `app` from"):
        score_file(model, written(tmp_path, [{"installed": "a"}]), str(tmp_path / "out.jsonl"))


def test_a_later_row_with_a_score_is_told(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_rows, "MAX_FIRST", 1)
    path = written(tmp_path, [{"app": "a", "installed": ""}, {"app": "b", "score": 1}])
    with pytest.raises(InputError) as caught:
        score_file(model, path, str(tmp_path / "out.jsonl"))
    assert str(caught.value) == f"the input has a column `score` already: line 2 ({path})"
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("output", ["out.csv", "out.tsv", "out.jsonl"])
def test_a_lone_surrogate_is_written_as_its_escape(model: str, tmp_path: Path, output: str) -> None:
    row = {"app": "a", "installed": ["cut \udc00"], "note": "cut \ud83d", "key \ud83d": "whole \U0001f600"}
    report = score_file(model, written(tmp_path, [row, {"app": "b"}]), str(tmp_path / output))
    assert (report.num_scored, report.num_unscored) == (1, 1)  # a list's value must be UTF-8 text
    text = (tmp_path / output).read_text(encoding="utf-8")
    if output == "out.jsonl":
        assert json.loads(text.splitlines()[0]) == row | {"score": None}
        return
    header, first, _ = [line.split("\t" if output == "out.tsv" else ",") for line in text.splitlines()]
    assert header == ["app", "installed", "note", "key \\ud83d", "score"]
    assert first == ["a", "cut \\udc00", "cut \\ud83d", "whole \U0001f600", ""]
