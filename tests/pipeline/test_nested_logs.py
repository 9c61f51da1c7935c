"""Logs of nested objects: the config that `wdr init` writes, and what `wdr check` says of them."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.ingestion.spans import resolve_span
from pipeline.check.columns import columns_of_no_row
from pipeline.cli.main import cli
from pipeline.initial_config.samples.reading import read_sample
from tests.pipeline.initial_config.guessing import guessed
from tests.pipeline.nested_logs import (
    APPS,
    NESTED_FEATURES,
    NESTED_LOG,
    NESTED_TABLE,
    nested_config,
    rows_of_log,
    write,
)
from tests.transform.small_config import small_config
from transform.errors import InputError

#: What `wdr init` reads in a log of both formats; the last row lacks what may be missing.
LOG: list[dict[str, Any]] = [
    {
        "request": {"id": f"r{i // 2}", "ts": 1_700_000_000 + i},
        "user": {"id": f"u{i % 9}", "country": ["us", "de", "fr"][i % 3], "home": {"city": f"c{i % 4}"}},
        "item": {"id": f"a{i % 7}", "genres": ["x", f"g{i % 3}"], "price": i % 60 / 8, "parts": [{"id": i}]},
        "clicked": i % 2,
    }
    for i in range(120)
] + [{"request": {"id": "r99", "ts": 1_700_000_999}, "user": None, "item": {"id": "a1"}, "clicked": 0}]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_members_are_offered_as_columns(tmp_path: Path, ending: str) -> None:
    config, text = guessed(write(tmp_path / f"log.{ending}", LOG))
    log = config.sources.impressions
    assert (log.format, log.label, log.request_id, log.timestamp) == (ending, "clicked", "request.id", "request.ts")
    assert log.item_id == "item.id"
    columns = {f.name: (f.source_column, f.side, f.kind) for f in config.spec.features if f.derive is None}
    assert columns == {
        "user_id": ("user.id", "context", "categorical"),
        "user_country": ("user.country", "context", "categorical"),
        "user_home_city": ("user.home.city", "context", "categorical"),
        "item_id": ("item.id", "item", "categorical"),
        "item_genres": ("item.genres", "item", "categorical_list"),
        "item_price": ("item.price", "item", "numeric"),
    }
    assert '# left out: "item.parts": of a type that is no feature\'s' in text


def test_the_same_is_guessed_of_both_formats(tmp_path: Path) -> None:
    texts = [guessed(write(tmp_path / f"log.{ending}", LOG))[1] for ending in ("jsonl", "parquet")]
    lines = [sorted(text.replace("parquet", "jsonl").splitlines()) for text in texts]
    assert lines[0] == lines[1]


def test_what_json_stores(tmp_path: Path) -> None:
    values: dict[str, list[Any]] = {
        "integer": [1, None, 2**70],
        "number": [1, 0.5, None],
        "boolean": [True, False, None],
        "text": ["a", 7, None],
        "list": [["a", 1, None], [], None],
        "other": [1, True, None],
        "objects": [[{"a": 1}], None, None],
        "numbers": [[0.5], None, None],
        "mixed": ["u1", {"id": "u2"}, None],
        "nothing": [None, None, None],
        "surrogate": ["\ud800", "b", None],
    }
    rows: list[Any] = [{name: of_column[at] for name, of_column in values.items()} for at in range(3)]
    rows[1]["empty"] = rows[2]["empty"] = {}
    rows[0] |= {"empty": {"z": "a"}, "x": {"y": 1}, "x.y": 2, "": 5, "deep": {"a.b": 1}}
    path = write(tmp_path / "a.jsonl", rows)
    path.write_text("[1]\n" + path.read_text() + "\n{")  # lines that are no rows are left out
    sample = read_sample(path, 10)
    assert (sample.num_rows, sample.is_whole) == (3, True)
    stored = {column.name: column.stored for column in sample.columns}
    assert stored == {
        **dict.fromkeys(values, "other"),
        **{name: name for name in ("integer", "number", "boolean", "text", "list")},
        "mixed.id": "other",  # in the first row the path leads through a text
        "nothing": "text",
        "empty.z": "text",
        "surrogate": "text",
        "x.y": "integer",  # in the first row both a key and a member: the key goes first
        "": "integer",
    }
    texts = {column.name: column.texts for column in sample.columns}
    assert texts["text"] == (("a",), ("7",), ("",))
    assert texts["list"] == (("a", "1", ""), (), ())
    assert texts["surrogate"] == (("\\ud800",), ("b",), ("",))
    assert read_sample(path, 2).num_rows == 2
    assert not read_sample(path, 2).is_whole


def test_a_left_out_column_says_why(tmp_path: Path) -> None:
    log = [{**row, "user": "u1"} if i % 10 == 0 else row for i, row in enumerate(LOG[:-1])]
    text = guessed(write(tmp_path / "a.jsonl", log))[1]
    assert '# left out: "user": an object in 108 of 120 rows, and of another type in 12' in text
    for name in ("user.id", "user.country", "user.home.city"):
        why = "in 12 of 120 rows, the path leads through something else than an object"
        assert f'# left out: "{name}": {why}' in text


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_object_with_too_many_members_is_one_column(tmp_path: Path, ending: str) -> None:
    free = {f"k{i}": {"a": i % 2, "b": 1} for i in range(1100)}
    log = [{**row, "user": {"id": row["user"]["id"], "free": free}} for row in LOG[:20]]
    sample = read_sample(write(tmp_path / f"a.{ending}", log), 1000)
    columns = {column.name: (column.stored, column.reason) for column in sample.columns}
    assert columns["user.free"] == ("other", "an object of 1,100 members")
    assert columns["user.id"] == ("text", "")
    assert len(columns) == 9  # request.id, request.ts, user.id, user.free, four of the item, clicked


def test_the_file_s_own_columns_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{f"k{i}": {"a": 1, "b": 2} for i in range(1001)}])
    with pytest.raises(InputError, match=r"the file must have 1 to 1000 columns\. Received: 1001"):
        read_sample(path, 10)
    sample = read_sample(write(tmp_path / "b.jsonl", [{f"k{i}": {"a": 1, "b": 2} for i in range(1000)}]), 10)
    assert {(column.stored, column.reason) for column in sample.columns} == {("other", "an object of 2 members")}
    assert len(sample.columns) == 1000


@pytest.mark.parametrize(
    ("name", "expected"), [("a.jsonl", "jsonl"), ("a.jsonl.gz", "jsonl"), ("a.jsonl.csv", "csv"), ("a.json.csv", "csv")]
)
def test_the_last_ending_says_the_format(tmp_path: Path, name: str, expected: str) -> None:
    content = b'{"a": 1, "b": 2}\n' if expected == "jsonl" else b"a,b\n1,2\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert read_sample(tmp_path / name, 10).format == expected


def test_a_few_rows_that_ingestion_rejects_do_not_hide_a_column(tmp_path: Path) -> None:
    log = [*LOG[:99], {**LOG[0], "user": "u1"}]  # the default of `ingestion.max_rejected_fraction` is 0.01
    columns = {column.name: column for column in read_sample(write(tmp_path / "a.jsonl", log), 1000).columns}
    assert columns["user.id"].stored == "text"
    assert columns["user.id"].texts[98:] == (("u8",), ("",))
    log.append(log[-1])
    columns = {column.name: column for column in read_sample(write(tmp_path / "a.jsonl", log), 1000).columns}
    assert columns["user.id"].stored == "other"


def test_check_names_a_column_that_no_row_has_and_close_ones(tmp_path: Path) -> None:
    write(tmp_path / "log.jsonl", rows_of_log(app=["a"], age=3))
    write(tmp_path / "apps.jsonl", APPS)
    found = resolve_span(nested_config(), str(tmp_path))
    assert columns_of_no_row(nested_config(), found, 3) == [
        "none of the first 3 rows of `impressions` has the column `user.apps`; close to `user.apps`: `user.app`, "
        "`user.age`"
    ]
    # A row in which a text is in place of the object has no member, and does not hide a wrong path.
    write(tmp_path / "log.jsonl", [*rows_of_log(app=["a"]), {**rows_of_log()[0], "user": "u1"}])
    assert columns_of_no_row(nested_config(), found, 100) == [
        "none of the first 5 rows of `impressions` has the column `user.apps`; close to `user.apps`: `user.app`, `user`"
    ]
    write(tmp_path / "log.jsonl", [*rows_of_log(age=3), *rows_of_log(apps=None)])
    assert columns_of_no_row(nested_config(), found, 100) == []
    assert len(columns_of_no_row(nested_config(), found, 4)) == 1


@pytest.mark.parametrize(("user", "number"), [(None, 1), ({}, 1), ("u1", 1), ({"apps": None}, 0)])
def test_a_column_may_be_null_but_not_a_member_of_a_null_or_a_text(tmp_path: Path, user: Any, number: int) -> None:
    write(tmp_path / "log.jsonl", [{**row, "user": user} for row in rows_of_log()])
    write(tmp_path / "apps.jsonl", APPS)
    assert len(columns_of_no_row(nested_config(), resolve_span(nested_config(), str(tmp_path)), 100)) == number


def test_check_refuses_a_log_whose_rows_would_all_be_rejected(tmp_path: Path) -> None:
    write(tmp_path / "log.jsonl", [{"id": "r", "item_id": "a", "user": {"apps": []}, "clicked": 1}])
    write(tmp_path / "apps.jsonl", APPS)
    with pytest.raises(InputError) as caught:
        columns_of_no_row(nested_config(), resolve_span(nested_config(), str(tmp_path)), 100)
    assert str(caught.value) == (
        f"none of the first 1 rows of `impressions` has the column `request.id` ({tmp_path}/log.jsonl)"
    )


def test_check_says_after_which_line_a_log_is_cut_off(tmp_path: Path) -> None:
    rows = b"".join(json.dumps({"x": hashlib.sha256(b"%d" % i).hexdigest()}).encode() + b"\n" for i in range(50_000))
    packed = gzip.compress(rows)
    (tmp_path / "log.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    write(tmp_path / "apps.jsonl", APPS)
    config = small_config(
        ("sources.impressions", {**NESTED_LOG, "path": "log.jsonl.gz"}), *NESTED_TABLE, *NESTED_FEATURES
    )
    with pytest.raises(InputError, match=r"damaged or cut off after line 1\d{4};"):
        columns_of_no_row(config, resolve_span(config, str(tmp_path)), 100_000)


def test_the_command_says_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write(data / "log.jsonl", LOG)
    text = Path(tmp_path / "c.yaml")
    result = CliRunner().invoke(cli, ["init", str(data / "log.jsonl"), "--out", str(text)])
    assert result.exit_code == 0, result.output
    text.write_text(text.read_text().replace("column: user.country", "column: user.contry"))
    result = CliRunner().invoke(cli, ["check", str(text), "--data", str(data)], catch_exceptions=False)
    assert (
        "columns: none of the first 121 rows of `impressions` has the column `user.contry`; close to `user.contry`: "
        "`user.country`" in result.output
    )


def test_check_of_a_parquet_file_names_close_members(tmp_path: Path) -> None:
    write(tmp_path / "log.parquet", rows_of_log(app=["a"]))
    write(tmp_path / "apps.parquet", APPS)
    text = tmp_path / "c.yaml"
    text.write_text(json.dumps(NESTED_PARQUET))
    result = CliRunner().invoke(cli, ["check", str(text), "--data", str(tmp_path)])
    assert str(result.exception) == (
        "the columns ['user.apps'] are missing. Received: ['request', 'item', 'user', 'clicked']; close to "
        f"`user.apps`: `user.app` ({tmp_path}/log.parquet)"
    )


NESTED_PARQUET = {
    "name": "nested",
    "sources": {
        "impressions": {"path": "log.parquet", "format": "parquet", "label": "clicked", "request_id": "request.id"}
    },
    "features": [
        {"name": "apps", "column": "user.apps", "side": "context", "kind": "categorical_list", "vocabulary": {}}
    ],
    "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
}
