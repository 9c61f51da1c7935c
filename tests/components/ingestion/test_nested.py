"""Columns that are members of nested objects: their values in JSON rows and Parquet files, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import event, example, given
from hypothesis import strategies as st

from components.ingestion.nested import (
    MAX_LISTED_DEPTH,
    flat,
    has_column,
    leaves_of,
    members_in,
    names_in,
    values_of,
    why_no_member,
)
from components.ingestion.readers import read_rows
from components.ingestion.rows import BadMember
from tests.components.ingestion.ingested import ingest
from tests.components.ingestion.test_block_readers import (
    JSON_VALUES,
    LIMITS,
    NULLS,
    OF_PARQUET,
    Outcome,
    assert_the_same,
    blocks_of,
    in_blocks,
    one_by_one,
    settings_of,
)
from transform.config.config import Column, load_config
from transform.config.settings import Ingestion
from transform.config.sources import Source
from transform.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nested")


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
        ({"user": ["u1"]}, None),
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
        ({"user": "", "items": [1, {"id": "a"}]}, "str ''"),
        ({"user": 7, "item": {"id": "a"}}, "int '7'"),
        ({"user": True, "item": {"id": "a"}}, "bool 'True'"),
        ({"user": [{"country": "us"}]}, "list"),
        ({"user": "x" * 1000, "item": {}}, f"str '{'x' * 40}'"),
    ],
)
def test_in_a_row_with_objects_what_has_no_member_is_told(row: dict[str, Any], received: str) -> None:
    told = f"`user.country` needs an object as `user`. Received: {received}"
    assert flat(row, ["user.country"]) == {"user.country": BadMember(told)}
    assert values_of([row], "user.country") == [BadMember(told)]
    assert repr(flat(row, ["user.country"])) == "{'user.country': <no member>}"  # in the quarantine


def test_a_path_may_be_deep_and_its_keys_empty() -> None:
    row: dict[str, Any] = {"": {"": 2}}
    deep: dict[str, Any] = {"x": 1}
    for _ in range(100):
        deep = {"a": deep}
    name = "a." * 100 + "x"
    assert flat({**row, **deep}, [name, ".", "a.a"]) == {name: 1, ".": 2, "a.a": deep["a"]["a"]}
    told = flat({"a": {"b": {"c": 5}}}, ["a.b.c.d.e"])["a.b.c.d.e"].detail
    assert told == "`a.b.c.d.e` needs an object as `a.b.c`. Received: int '5'"


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
    assert [name for name, _ in leaves_of(schema)] == [
        "user.home.city", "user.home.zip", "user.id", "user.tags", "a.b", "other.id",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "told"),
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
def test_a_file_without_the_member_is_told(tmp_path: Path, name: str, told: str) -> None:
    path = tmp_path / "a.parquet"
    tags = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    table = pa.table({"user": [{"country": "us", "id": "u"}], "items": [[{"id": 1}]], "n": [1], "tags": tags})
    pq.write_table(table, path)
    with pytest.raises(InputError) as caught:
        read(path, name)
    assert str(caught.value) == f"{told} ({path})"


def test_a_file_s_own_column_goes_before_a_member_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"user": [{"country": "us", "id": "u"}] * 2, "user.country": ["de", None]}), path)
    assert read(path, "user.country") == [{"user.country": b"de"}, {"user.country": None}]
    assert read(path, "user.id", "user.country") == [
        {"user.id": b"u", "user.country": b"de"}, {"user.id": b"u", "user.country": None},
    ]  # fmt: skip
    assert [name for name, _ in leaves_of(pq.read_schema(path))] == ["user.id", "user.country"]


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


#: Columns of nested objects, some of them deep, and two that read one member.
COLUMNS = (
    Column("user.id", "string", True),
    Column("item.tags", "list", False),
    Column("item.tags", "string", False, trim=False),
    Column("item.price.now", "float", False),
    Column("clicked", "label", True),
    Column("item.weight", "weight", False),
    Column("item.price.at", "timestamp", True),
    Column("flags", "one_hot", False, one_hot=("item.price.now", "item.weight")),
)
NAMES = tuple(dict.fromkeys(name for column in COLUMNS for name in column.names))
GOOD: dict[str, Any] = {
    "user.id": "i1",
    "item.tags": ["a", "b"],
    "item.price.now": 1,
    "clicked": 1,
    "item.weight": 1.0,
    "item.price.at": 1_700_000_000,
}


def nest(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row with objects in place of dots."""
    result: dict[str, Any] = {}
    for name, value in row.items():
        *path, last = name.split(".")
        inner = result
        for key in path:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return result


@st.composite
def flat_rows(draw: st.DrawFn) -> dict[str, Any]:
    """Draws a row of columns with dots in their names: some values odd, some columns missing."""
    row = {name: draw(JSON_VALUES) if draw(st.integers(0, 3)) == 0 else value for name, value in GOOD.items()}
    return {name: value for name, value in row.items() if draw(st.integers(0, 9))}


@st.composite
def nested_rows(draw: st.DrawFn) -> dict[str, Any]:
    """Draws a row of nested objects, some of which are something else, or have columns beside them."""
    row = nest(draw(flat_rows()))
    places: list[tuple[str, ...]] = [("user",), ("item",), ("item", "price")]
    for *path, last in draw(st.lists(st.sampled_from(places), max_size=2)):
        inner: Any = row
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner[last] = draw(st.one_of(st.none(), st.just({}), JSON_VALUES, st.just([{"id": "i1", "now": 1}])))
    for name in draw(st.lists(st.sampled_from(["user.id", "item.price", "item.price.now", "user.x"]), max_size=2)):
        row[name] = draw(st.one_of(st.none(), JSON_VALUES))
    return row


def outcome_of(path: Path) -> Outcome:
    """Returns what is read of a file in blocks, without the file's name."""
    source, limits = (
        Source(path="x", format="jsonl", null_values=NULLS),
        dataclasses.replace(LIMITS, max_row_bytes=2000),
    )
    rows, rejections, counts, error = in_blocks(path, source, COLUMNS, limits)
    return rows, [rejection._replace(file="") for rejection in rejections], counts, error


@settings_of(80)
@given(rows=st.lists(flat_rows(), min_size=1, max_size=8), size=st.sampled_from([1, 60, 10_000]))
def test_a_nested_log_is_read_as_the_flat_log_of_the_same_columns(
    folder: Path, rows: list[dict[str, Any]], size: int
) -> None:
    (folder / "flat.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "nested.jsonl").write_text("\n".join(json.dumps(nest(row)) for row in rows))
    with blocks_of(size):
        assert outcome_of(folder / "nested.jsonl") == outcome_of(folder / "flat.jsonl")


@settings_of(200)
@given(rows=st.lists(nested_rows(), min_size=1, max_size=8), size=st.sampled_from([1, 60, 10_000]))
@example(rows=[nest(GOOD), {**nest(GOOD), "user.id": "i2"}, {**nest(GOOD), "item": "a"}], size=10_000)
@example(rows=[{**nest(GOOD), "user": 1}], size=10_000)
def test_json_of_every_nesting(folder: Path, rows: list[dict[str, Any]], size: int) -> None:
    path = folder / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with blocks_of(size):
        assert_the_same(path, "jsonl", COLUMNS)
        rejections = outcome_of(path)[1]
    event(f"a path that leads to no member: {any(rejection.reason == 'bad_member' for rejection in rejections)}")


OF_STRUCTS = {
    "user.id": OF_PARQUET["id"],
    "item.tags": OF_PARQUET["tags"],
    "item.price.now": OF_PARQUET["price"],
    "clicked": OF_PARQUET["clicked"],
    "item.weight": OF_PARQUET["weight"],
    "item.price.at": OF_PARQUET["time"],
}
no_nulls = st.just([False] * 5)
masks = st.one_of(no_nulls, st.lists(st.booleans(), min_size=5, max_size=5))


@settings_of(60)
@given(
    picked=st.fixed_dictionaries({name: st.sampled_from(arrays) for name, arrays in OF_STRUCTS.items()}),
    good=st.fixed_dictionaries({name: st.booleans() for name in OF_STRUCTS}),
    null=st.fixed_dictionaries({"user": masks, "item": masks, "item.price": masks}),
    size=st.sampled_from([1, 2, 100]),
)
def test_structs_are_read_as_flat_columns(
    folder: Path, picked: dict[str, pa.Array], good: dict[str, bool], null: dict[str, list[bool]], size: int
) -> None:
    columns = {name: pa.array([GOOD[name]] * 5) if good[name] else picked[name] for name in OF_STRUCTS}

    is_null = {
        name: [any(null[prefix][row] for prefix in null if name.startswith(f"{prefix}.")) for row in range(5)]
        for name in columns
    }
    flat_columns = {
        name: array.take(pa.array([None if is_null[name][row] else row for row in range(5)], pa.int64()))
        for name, array in columns.items()
    }

    def struct(prefix: str, **members: pa.Array) -> pa.StructArray:
        fields = [pa.field(name, array.type) for name, array in members.items()]
        return pa.StructArray.from_arrays(list(members.values()), fields=fields, mask=pa.array(null[prefix]))

    more = pa.array([1] * 5)
    price = struct("item.price", now=flat_columns["item.price.now"], at=flat_columns["item.price.at"])
    item = struct("item", tags=flat_columns["item.tags"], price=price, weight=flat_columns["item.weight"], more=more)
    user = struct("user", more=more, id=flat_columns["user.id"])
    path = folder / "a.parquet"
    pq.write_table(pa.table({"user": user, "clicked": flat_columns["clicked"], "item": item}), path)
    pq.write_table(pa.table(flat_columns), folder / "flat.parquet")
    source = Source(path="x", format="parquet", null_values=NULLS)
    with blocks_of(size):
        assert_the_same(path, "parquet", COLUMNS)
        nested_rows, nested_rejections, *_ = one_by_one(path, source, COLUMNS, LIMITS)
        rows, rejections, *_ = one_by_one(folder / "flat.parquet", source, COLUMNS, LIMITS)
    # As texts, since NaN is not equal to itself.
    assert repr(nested_rows) == repr(rows)
    assert [r._replace(file="") for r in nested_rejections] == [r._replace(file="") for r in rejections]


CONFIG = """
name: nested
sources:
  impressions:
    path: log.{ending}
    format: {ending}
    label: label
    request_id: request.id
    timestamp: request.ts
    item_id: item.id
  tables:
    apps: {{path: apps.{ending}, format: {ending}, key: app.id, impression_key: item.id}}
features:
  - {{name: country, column: user.country, side: context, kind: categorical, vocabulary: {{}}}}
  - {{name: hour, column: request.ts, side: context, kind: categorical, vocabulary: {{}},
      derive: {{part: hour, format: epoch_seconds, time_zone: UTC}}}}
  - {{name: item_id, column: item.id, side: item, kind: categorical, vocabulary: {{}}}}
  - {{name: genres, column: item.genres, side: item, kind: categorical_list, vocabulary: {{}}}}
  - {{name: flags, one_hot: [item.flags.new, item.flags.free], side: item, kind: categorical_list, vocabulary: {{}}}}
  - {{name: price, column: terms.price, side: item, source: apps, kind: numeric, num_quantiles: 2}}
ingestion: {{split_by: row_hash, eval_fraction: 0.5, max_rejected_fraction: 0.9}}
evaluation: {{thresholds: {{auc: {{min: 0.5}}}}}}
"""
ROWS: list[dict[str, Any]] = [
    {"request": {"ts": 3600, "id": "r1"}, "user": {"id": "u1", "country": "us"}, "label": 1,
     "item": {"id": "a", "genres": ["x", "y"], "flags": {"new": 1, "free": 1}}},
    {"request": {"ts": 7200, "id": "r2"}, "user": None, "label": 0,
     "item": {"id": "b", "genres": None, "flags": {"new": 0, "free": 1}}},
    {"request": {"ts": 0, "id": "r3"}, "user": {"id": "u3", "country": None}, "label": 0,
     "item": {"id": "c", "genres": [], "flags": None}},
    {"request": None, "user": {"id": "u4", "country": "de"}, "label": 0,
     "item": {"id": "a", "genres": ["x"], "flags": None}},
]  # fmt: skip
APPS: list[dict[str, Any]] = [
    {"app": {"id": "a"}, "terms": {"price": 1.5}},
    {"app": {"id": "b"}, "terms": None},
    {"app": {"id": "c"}, "terms": {"price": 0.0}},
]
#: By request: the values in the examples.
EXAMPLES = {
    "r1": {
        "label": [1], "timestamp": [3600.0], "country": ["us"], "hour": ["3600"], "item_id": ["a"],
        "genres": ["x", "y"], "flags": ["item.flags.new", "item.flags.free"], "price": [1.5],
    },
    "r2": {
        "label": [0], "timestamp": [7200.0], "hour": ["7200"], "item_id": ["b"], "flags": ["item.flags.free"],
    },
    "r3": {"label": [0], "timestamp": [0.0], "hour": ["0"], "item_id": ["c"], "price": [0.0]},
}  # fmt: skip


def write_config(folder: Path, ending: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(textwrap.dedent(CONFIG.format(ending=ending)))
    return path


def by_request(examples: dict[str, list[dict[str, list[Any]]]]) -> dict[str, dict[str, list[Any]]]:
    found = {}
    for row in [*examples["train"], *examples["eval"]]:
        (request,) = row["request_id"]
        found[request] = {name: row[name] for name in EXAMPLES["r1"] if row.get(name)}
    return found


def test_a_nested_log_becomes_examples(tmp_path: Path) -> None:
    bad = [
        {**ROWS[0], "user": "u1"},
        {**ROWS[0], "item": [{"id": "a"}, {"id": "b"}]},
        {**ROWS[0], "user": {"country": {"code": "us"}}},
        {**ROWS[0], "item": {"id": "a", "genres": {"x": 1}}},
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, [*ROWS, *bad])))
    (tmp_path / "apps.jsonl").write_text("\n".join(map(json.dumps, [*APPS, {"app": "d", "terms": {"price": 2.0}}])))
    result = ingest(load_config(str(write_config(tmp_path, "jsonl"))), tmp_path, tmp_path / "out")
    assert by_request(result.examples) == EXAMPLES
    told = [(row["source"], row["line"], row["reason"], row["detail"]) for row in result.rejected]
    assert told == [
        ("apps", 4, "bad_member", "`app.id` needs an object as `app`. Received: str 'd'"),
        ("impressions", 4, "missing_value", "`request.id` must have a value"),
        ("impressions", 5, "bad_member", "`user.country` needs an object as `user`. Received: str 'u1'"),
        ("impressions", 6, "bad_member", "`item.id` needs an object as `item`. Received: list"),
        ("impressions", 7, "bad_type", "`user.country` must be one text. Received: dict \"{'code': 'us'}\""),
        ("impressions", 8, "bad_type", "`item.genres` must be a list of texts. Received: dict"),
    ]
    assert result.counts.num_rejected == 5
    assert "'user.country': <no member>" in result.rejected[2]["text"]


def test_a_log_of_structs_becomes_the_same_examples(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "log.parquet")
    pq.write_table(pa.Table.from_pylist(APPS), tmp_path / "apps.parquet")
    result = ingest(load_config(str(write_config(tmp_path, "parquet"))), tmp_path, tmp_path / "out")
    assert by_request(result.examples) == EXAMPLES
    assert [(row["line"], row["detail"]) for row in result.rejected] == [(4, "`request.id` must have a value")]
