"""A list read from columns of 0 and 1, in a log and in a table, of any format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.ingestion.columns.parser import Parser
from components.ingestion.formats.raw_rows import RowError
from tests.components.ingestion.logs import write_rows
from tests.components.ingestion.without_beam import in_batches, row_by_row
from transform.config.columns import Column
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.config.settings import Ingestion

GENRES = Column("genres", "one_hot", False, one_hot=("action", "drama", "war"))


def parse(raw: dict[str, Any], column: Column = GENRES, max_list_values: int = 3) -> Any:
    limits = Ingestion(max_field_bytes=20, max_list_values=max_list_values)
    (value,) = Parser([column], ("", "unknown", "99"), "|", limits).parse_row(raw)
    return value


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        *(
            (one, ("action",))
            for one in ("1", " 1 ", 1, 1.0, "1.0", True, "true", "TRUE", "True\t", b"1", (1,), ("1",))
        ),
        *((zero, None) for zero in ("0", 0, -0.0, "0.0", False, "false", "False", b"false", (0,))),
        *(
            (missing, None)
            for missing in (None, "", "  ", "unknown", " unknown", 99, "99", "99.0", float("nan"), "nan")
        ),
    ],
)
def test_a_value_is_1_or_0_or_missing(action: Any, expected: Any) -> None:
    assert parse({"action": action, "drama": "0", "war": None}) == expected


def test_the_values_are_the_names_in_the_order_of_the_config() -> None:
    assert parse({"war": "1", "drama": "true", "action": 1}) == ("action", "drama", "war")
    assert parse({}) is None


@pytest.mark.parametrize(
    "value", ["2", 2, -1, "0.5", "yes", "t", "1 0", "tru\u0435", "1e400", float("inf"), (1, 1), [1]]
)
def test_another_value_rejects_the_row(value: Any) -> None:
    with pytest.raises(RowError) as caught:
        parse({"action": "1", "drama": value, "war": "1"})
    assert caught.value.reason == "bad_type"
    assert caught.value.detail == f"`drama` must be 0, 1, true or false. Received: {str(value)[:40]!a}"


def test_a_list_of_too_many_values_and_a_required_one_without_any_reject_the_row() -> None:
    with pytest.raises(RowError, match=r"`genres` must have at most 1 values. Received: 2"):
        parse({"action": 1, "war": 1}, max_list_values=1)
    with pytest.raises(RowError, match="`genres` must have a value"):
        parse({"action": 0, "war": ""}, Column("genres", "one_hot", True, one_hot=("action", "war")))


def config_of(file_format: str) -> Config:
    lists = {"kind": "categorical_list", "vocabulary": {}}
    return parse_config(
        {
            "name": "films",
            "sources": {
                "impressions": {"path": "log", "format": file_format, "label": "liked", "request_id": "r"},
                "tables": {"films": {"path": "films", "format": file_format, "key": "film"}},
            },
            "features": [
                {"name": "film", "side": "item", "kind": "categorical", "vocabulary": {}},
                {"name": "genres", "side": "item", "source": "films", "one_hot": ["war", "drama"], **lists},
                {
                    "name": "device",
                    "side": "context",
                    "one_hot": ["phone", "tablet"],
                    "renamed_from": "screen",
                    **lists,
                },
                {"name": "phone", "side": "context", "kind": "numeric", "num_quantiles": 2},  # also by itself
            ],
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
            "ingestion": {"split_by": "request_hash", "eval_fraction": 0.5},
        },
        "test",
    )


LOG: list[dict[str, Any]] = [
    {"r": "r0", "film": "a", "liked": 1, "phone": "1", "tablet": "0"},
    {"r": "r1", "film": "b", "liked": 0, "phone": "0", "tablet": ""},
    {"r": "r2", "film": "c", "liked": 1, "phone": "1", "tablet": "true"},
    {"r": "r3", "film": "a", "liked": 0, "phone": "1", "tablet": "7"},
]
FILMS: list[dict[str, Any]] = [
    {"film": "a", "drama": 1, "war": 1},
    {"film": "b", "drama": 1, "war": 0},
    {"film": "c", "drama": 0.5, "war": 0},
]


@pytest.mark.parametrize("file_format", ["csv", "tsv", "jsonl", "parquet", "tfrecord"])
def test_examples_have_the_list(tmp_path: Path, file_format: str) -> None:
    config = config_of(file_format)
    files = {}
    for name, rows in (("impressions", LOG), ("films", FILMS)):
        path = tmp_path / f"{name}.{file_format}"
        write_rows(path, file_format, rows)
        files[name] = {"": (str(path),)}
    found = in_batches(config, files, tmp_path / "out")
    assert found == row_by_row(config, files).result
    assert sorted((r["source"], r["reason"], r["detail"]) for r in found.rejected) == [
        ("films", "bad_type", "`drama` must be 0, 1, true or false. Received: '0.5'"),
        ("impressions", "bad_type", "`tablet` must be 0, 1, true or false. Received: '7'"),
    ]
    lists = {}
    for record in (*found.train, *found.eval):
        features = tf.train.Example.FromString(record).features.feature
        assert features["device"] == features["screen"]
        names = ("genres", "device")
        lists[features["request_id"].bytes_list.value[0]] = [list(features[n].bytes_list.value) for n in names]
    assert lists == {
        b"r0": [[b"war", b"drama"], [b"phone"]],
        b"r1": [[b"drama"], []],
        b"r2": [[], [b"phone", b"tablet"]],
    }
