"""Ingestion of logs of nested objects and structs: the same rows as of flat logs, and the examples made of them."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from tests.components.ingestion.compared_readers import (
    LIMITS,
    NULLS,
    Outcome,
    assert_the_same,
    blocks_of,
    in_blocks,
    one_by_one,
    settings_of,
)
from tests.components.ingestion.ingested import ingest
from tests.components.ingestion.odd_values import JSON_VALUES, OF_PARQUET
from transform.config.columns import Column
from transform.config.config_file import load_config
from transform.config.sources import Source


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nested")


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


@settings_of(100)
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
    reported = [(row["source"], row["line"], row["reason"], row["detail"]) for row in result.rejected]
    assert reported == [
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
