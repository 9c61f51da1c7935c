"""Columns that are members of nested objects: their values in JSON rows and Parquet files, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.ingestion.formats.nested import (
    MAX_LISTED_DEPTH,
    flat,
    has_column,
    list_leaves,
    members_in,
    names_in,
    values_of,
    why_no_member,
)
from components.ingestion.formats.raw_rows import BadMember
from tests.components.ingestion.raw_rows import read_rows
from transform.config.settings import Ingestion
from transform.errors import InputError


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"user": {"country": "us", "id": "u1"}}, "us"),
        ({"user": {"country": ["us", None]}}, ["us", None]),
        ({"user": {"country": {"code": "us"}}}, {"code": "us"}),  # the column's rule rejects it
        ({"user": {"country": None}}, None),
        ({"user": {}}, None),
        ({"user": None}, None),
        ({}, None),
        ({"user.country": "us"}, "us"),
        ({"user.country": "us", "user": {}}, "us"),
        ({"user.country": "us", "user": {"country": None}}, "us"),
        ({"user.country": "us", "user": None}, "us"),
        ({"user.country": "us", "user": "u1"}, "us"),  # a flat log of two columns
        ({"user.country": None, "user": "u1"}, None),
        ({"user": "u1"}, None),
        ({"user": ""}, None),
        ({"user": 7, "tags": ["a"]}, None),
        ({"user": ["u1", {"country": "us"}]}, None),  # only the first item of a list says whether it has objects
        ({"user": [], "items": []}, None),
        ({"user.country": None, "user": {"country": "us"}}, None),  # the key goes first, also with a null
        ({"user.country": "de", "user": {"country": "us"}}, "de"),
        ({"user.country": {}, "user": {"country": "us"}}, {}),
    ],
)
def test_a_path_leads_to_a_member(row: dict[str, Any], expected: Any) -> None:
    assert flat(row, ["user.country"]) == {"user.country": expected}
    assert values_of([row], "user.country") == [expected]


@pytest.mark.parametrize(
    ("row", "received"),
    [
        ({"user": "u1", "item": {}}, "str 'u1'"),
        ({"user": "", "items": [{"id": "a"}]}, "str ''"),
        ({"user": 7, "item": {"id": "a"}}, "int '7'"),
        ({"user": True, "item": {"id": "a"}}, "bool 'True'"),
        ({"user": [{"country": "us"}]}, "list"),
        ({"user": "x" * 1000, "item": {}}, f"str '{'x' * 40}'"),
    ],
)
def test_in_a_row_with_objects_what_has_no_member_is_told(row: dict[str, Any], received: str) -> None:
    reported = f"`user.country` needs an object as `user`. Received: {received}"
    assert flat(row, ["user.country"]) == {"user.country": BadMember(reported)}
    assert values_of([row], "user.country") == [BadMember(reported)]
    assert repr(flat(row, ["user.country"])) == "{'user.country': <no member>}"  # in the quarantine


def test_a_path_may_be_deep_and_its_keys_empty() -> None:
    row: dict[str, Any] = {"": {"": 2}}
    deep: dict[str, Any] = {"x": 1}
    for _ in range(100):
        deep = {"a": deep}
    name = "a." * 100 + "x"
    assert flat({**row, **deep}, [name, ".", "a.a"]) == {name: 1, ".": 2, "a.a": deep["a"]["a"]}
    reported = flat({"a": {"b": {"c": 5}}}, ["a.b.c.d.e"])["a.b.c.d.e"].detail
    assert reported == "`a.b.c.d.e` needs an object as `a.b.c`. Received: int '5'"


def test_which_columns_a_row_has() -> None:
    row = {"ts": 1, "user": {"id": "u", "home": None}, "x.y": 1, "list": [{"a": 1}], "empty": {}}
    names = ["ts", "user", "user.id", "user.home", "x.y"]
    assert all(has_column(row, name) for name in names)
    missing = ["t", "user.name", "x", "users.id", "empty.a", "y", "user.home.city.zip", "list.a", "ts.a"]
    assert not any(has_column(row, name) for name in missing)
    assert [name for name in missing if has_column(row, name, null_has_any=True)] == ["user.home.city.zip"]


def test_the_names_of_a_row_s_columns_are_paths() -> None:
    row = {
        "ts": 1,
        "user": {"id": "u", "at": {"city": "x"}, "a.b": 1},
        "x.y": {"z": 1},
        "list": [{"a": 1}],
        "empty": {},
    }
    assert list(names_in(row)) == ["ts", "user.id", "user.at.city", "x.y", "list", "empty"]
    deep: dict[str, Any] = {"x": 1}
    for _ in range(20):
        deep = {"a": deep}
    assert list(names_in(deep)) == [".".join("a" * MAX_LISTED_DEPTH)]


def read(path: Path, *names: str) -> list[dict[str, Any]]:
    return [dict(row.values or {}) for row in read_rows(str(path), path.suffix[1:], names, Ingestion())]


def test_of_a_key_that_is_there_twice_the_last_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"user": {"id": "a"}, "user": {"id": "b", "id": "c"}}\n{"user": {"id": "a"}, "user": {}}\n')
    assert read(path, "user.id") == [{"user.id": "c"}, {"user.id": None}]


def test_objects_that_are_nested_too_deep_to_be_read_reject_their_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"user": ' * 100_000 + "1" + "}" * 100_000 + '\n{"user": {"id": "a"}}\n')
    first, second = read_rows(str(path), "jsonl", ["user.id"], Ingestion(max_row_bytes=10_000_000))
    assert (first.reason, first.values, second.values) == ("malformed", None, {"user.id": "a"})


def test_in_other_formats_a_dot_is_a_character_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,user.id\nu,a\n")
    assert read(tmp_path / "a.csv", "user.id", "user") == [{"user.id": "a", "user": "u"}]
    with pytest.raises(InputError, match=r"the columns \['user.x'\] are missing"):
        read(tmp_path / "a.csv", "user.x")
    row = tf.train.Example()
    row.features.feature["user.id"].bytes_list.value.append(b"a")
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(row.SerializeToString())
    assert read(tmp_path / "a.tfrecord", "user.id", "user") == [{"user.id": (b"a",), "user": None}]


def test_members_of_structs(tmp_path: Path) -> None:
    rows = [
        {"id": "u1", "home": {"city": "a", "zip": 1}, "tags": ["x", "y"]},
        None,
        {"id": None, "home": None, "tags": None},
        {"id": "u2", "home": {"city": None, "zip": 2}, "tags": []},
    ]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"user": rows, "a.b": [1, 2, 3, 4], "other": [{"id": i} for i in "abcd"]}), path)
    found = read(path, "user.tags", "a.b", "user.home.city", "user.id")
    assert [tuple(row.values()) for row in found] == [
        ([b"x", b"y"], 1, b"a", b"u1"),
        (None, 2, None, None),
        (None, 3, None, None),
        ([], 4, None, b"u2"),
    ]
    assert [row["user.home"] for row in read(path, "user.home", "user.id")] == [
        {"city": "a", "zip": 1}, None, None, {"city": None, "zip": 2},
    ]  # fmt: skip
    schema = pq.read_schema(path)
    assert [name for name, _ in list_leaves(schema)] == [
        "user.home.city", "user.home.zip", "user.id", "user.tags", "a.b", "other.id",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        (
            "user.contry",
            "the columns ['user.contry'] are missing. Received: ['user', 'items', 'n', 'tags']; "
            "close to `user.contry`: `user.country`",
        ),
        (
            "id",
            "the columns ['id'] are missing. Received: ['user', 'items', 'n', 'tags']; close to `id`: `user.id`",
        ),
        ("items.id", "`items.id` needs a struct as `items`. Received: list<element: struct<id: int64>>"),
        ("n.x", "`n.x` needs a struct as `n`. Received: int64"),
        ("user.id.x", "`user.id.x` needs a struct as `user.id`. Received: string"),
        ("tags.a", "`tags.a` needs a struct as `tags`. Received: map<string, int64 ('tags')>"),
    ],
)
def test_a_file_without_the_member_is_told(tmp_path: Path, name: str, reported: str) -> None:
    path = tmp_path / "a.parquet"
    tags = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    table = pa.table({"user": [{"country": "us", "id": "u"}], "items": [[{"id": 1}]], "n": [1], "tags": tags})
    pq.write_table(table, path)
    with pytest.raises(InputError) as caught:
        read(path, name)
    assert str(caught.value) == f"{reported} ({path})"


def test_a_file_s_own_column_goes_before_a_member_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"user": [{"country": "us", "id": "u"}] * 2, "user.country": ["de", None]}), path)
    assert read(path, "user.country") == [{"user.country": b"de"}, {"user.country": None}]
    assert read(path, "user.id", "user.country") == [
        {"user.id": b"u", "user.country": b"de"}, {"user.id": b"u", "user.country": None},
    ]  # fmt: skip
    assert [name for name, _ in list_leaves(pq.read_schema(path))] == ["user.id", "user.country"]


def test_a_file_with_one_column_that_is_not_the_wanted_one_says_nothing_of_delimiters(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"user": ["a"]}), path)
    with pytest.raises(InputError) as caught:
        read(path, "item")
    assert str(caught.value) == f"the columns ['item'] are missing. Received: ['user'] ({path})"


def test_a_struct_that_has_a_member_twice_is_told(tmp_path: Path) -> None:
    user = pa.StructArray.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=["id", "id", "x"])
    schema = pa.schema([("user", user.type)])
    assert members_in(schema, ["user.id", "user.x", "user.y"]) == {"user.x": ["user", "x"]}
    assert why_no_member(schema, "user.id") == "`user.id` needs one member `user.id`. Received: 2"
    assert why_no_member(schema, "user.y") == ""


def test_a_row_is_quarantined_without_what_is_in_place_of_its_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"item": {}, "user": "x" * 100_000}) + "\n")
    (row,) = read_rows(str(path), "jsonl", [f"user.{i}" for i in range(50)], Ingestion())
    assert len(repr(row.values)) < 2000
