"""The evidence about a span: sketches that identify equal rows, and the evidence file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from components.artifacts import EVIDENCE_FILE
from components.ingestion.columns.parser import KINDS
from components.ingestion.evidence import Evidence, File, InstallEvidence, LabelCount, Log, TableEvidence, read_evidence
from components.ingestion.sketches import NUM_ROWS, FilePart, FileSketch, bounded, combine_evidence, compute_hash
from tests.components.ingestion.logs import store_config
from tests.transform.small_config import REMOVED, small_config
from transform.errors import InputError

CONFIG = store_config()
DAY = 86_400.0


def row(number: int, at: float, prefix: str = "i") -> tuple[object, ...]:
    """Returns a row in the order of the config's columns."""
    values = {
        ("impression", "string"): f"{prefix}{number}",
        ("request", "string"): f"{prefix}r{number // 2}",
        ("time", "timestamp"): at + number,
        ("user", "string"): f"u{number % 97}",
        ("app", "string"): f"a{number % 13}",
        ("page", "string"): "home",
    }
    return tuple(values[c.name, c.kind] for c in CONFIG.columns["impressions"])


def part_of(rows: Sequence[tuple[object, ...]], path: str = "log") -> FilePart:
    sketch = FileSketch(CONFIG, "impressions")
    sketch.add(as_columns("impressions", rows))
    return sketch.summary(path, "00")


def as_columns(source: str, rows: Sequence[tuple[object, ...]]) -> list[pa.Array]:
    columns = CONFIG.columns[source]
    return [pa.array(values, KINDS[c.kind].type) for values, c in zip(zip(*rows, strict=True), columns, strict=True)]


def log_of(*parts: FilePart) -> Log:
    return combine_evidence(parts, [], CONFIG, 1).logs["impressions"]


def test_the_same_rows_have_the_same_sketch_though_their_ids_and_days_are_new() -> None:
    yesterday = log_of(part_of([row(i, DAY) for i in range(5000)]))
    again = log_of(part_of([row(i, 2 * DAY, prefix="new") for i in range(5000)]))
    assert len(yesterday.sketch) == NUM_ROWS
    assert again.sketch == yesterday.sketch
    assert again.time_quantiles != yesterday.time_quantiles
    other = log_of(part_of([row(i, 2 * DAY + 40_000) for i in range(5000)]))
    assert not set(other.sketch) & set(yesterday.sketch)


def test_rows_with_features_of_the_log_s_time_have_the_same_sketch_on_another_day() -> None:
    hour = {"name": "hour", "side": "context", "kind": "categorical", "column": "time", "vocabulary": {}}
    seen = {"name": "seen", "side": "context", "kind": "numeric", "column": "time", "num_quantiles": 2}
    opened = hour | {"name": "opened", "column": "opened"}
    derive = {"part": "hour", "format": "epoch_seconds"}
    config = small_config(
        ("sources.impressions.impression_id", "impression"),
        ("sources.impressions.timestamp", "time"),
        ("features.2", hour | {"derive": derive}),
        ("features.3", opened | {"derive": derive}),
        ("features.4", seen),
        ("features.5", hour | {"name": "second"}),
        ("sources.tables", REMOVED),
    )

    def sketch_of(day: float, prefix: str) -> tuple[int, ...]:
        columns = [(c.name, KINDS[c.kind].type) for c in config.columns["impressions"]]
        rows = []
        for i in range(3000):
            texts = {"impression": f"{prefix}{i}", "request": f"{prefix}r{i}", "app": f"a{i % 13}", "clicked": i % 2}
            times = {"time": day + i, "opened": day + i - 60}
            rows.append(texts | times | {"installed": (f"a{i % 7}",)})
        sketch = FileSketch(config, "impressions")
        sketch.add(
            [
                pa.array([str(row[name]) if kind == pa.string() else row[name] for row in rows], kind)
                for name, kind in columns
            ]
        )
        return combine_evidence([sketch.summary("log", "00")], [], config, 1).logs["impressions"].sketch

    yesterday = sketch_of(DAY, "i")
    assert len(yesterday) == NUM_ROWS
    assert sketch_of(2 * DAY, "new") == yesterday
    assert not set(sketch_of(2 * DAY + 40_000, "new")) & set(yesterday)


def test_a_log_in_parts_has_the_sketch_of_the_whole() -> None:
    rows = [row(i, DAY) for i in range(5000)]
    whole = log_of(part_of(rows))
    assert log_of(part_of(rows[::2], "b"), part_of(rows[1::2], "a")) == whole
    assert whole.rows_by_hour == {24: 3600, 25: 1400}
    # The median row is the 2,500th. The sketch samples 2,000 of 5,000 rows, so its median is off by about 50 rows.
    assert whole.time_quantiles[3] == pytest.approx(DAY + 2500, abs=200)


def test_the_evidence_of_many_small_files_is_bounded() -> None:
    files = [part_of([row(n * 300 + i, DAY) for i in range(300)], f"log-{n:02d}") for n in range(40)]
    parts = bounded([*bounded(files[:9], CONFIG), *files[9:]], CONFIG)
    assert sum(len(part.sketch) for part in files) > 5 * NUM_ROWS
    assert sum(len(part.sketch) for part in parts) == NUM_ROWS
    assert combine_evidence(parts, [], CONFIG, 1) == combine_evidence(files, [], CONFIG, 1)


def test_impressions_come_to_one_table_after_the_other() -> None:
    counted = [
        (("label", "train", "0", "5"), 60),
        (("label", "eval", "1", "5"), 20),
        (("label", "eval", "0", "6"), 10),
        (("unmatched", "users"), 7),
        (("unmatched_rejected", "users"), 3),
        (("unmatched_rejected", "catalog"), 4),
        (("unknown_label",), 5),
        (("install", "attributed"), 20),
        (("install", "without_impression"), 2),
    ]
    found = combine_evidence([], counted, CONFIG, 3)
    # 102 impressions reach the join with the catalog, which rejects 4. Of the other 98, the join with users rejects 3
    # and finds no row for 7 more. The labels of 5 of the 95 joined impressions are not known yet.
    assert list(CONFIG.sources.tables) == ["catalog", "users"]
    tables = {name: (table.matched, table.unmatched) for name, table in found.tables.items()}
    assert tables == {"users": (88, 10), "catalog": (98, 4)}
    assert found.labels == LabelCount(70, 20)
    assert found.labels_by_hour == {5: LabelCount(60, 20), 6: LabelCount(10, 0)}
    assert found.installs == InstallEvidence(attributed=20, without_impression=2)
    assert found.installs.num_installs == 22


def test_a_table_keeps_the_values_of_some_keys() -> None:
    sketch = FileSketch(CONFIG, "users")
    columns = [(c.name, c.kind) for c in CONFIG.columns["users"]]
    rows = []
    for i in range(1000):
        values = {("user", "string"): f"u{i}", ("owned", "list"): ("a1", "a0") if i % 2 else None}
        rows.append(tuple(values[column] for column in columns))
    sketch.add(as_columns("users", rows))
    table = combine_evidence([sketch.summary("users", "00")], [], CONFIG, 1).tables["users"]
    assert (table.columns, len(table.keys)) == (("owned",), 400)
    assert set(table.keys.values()) == {(tuple(sorted([compute_hash("a0"), compute_hash("a1")])),), (None,)}


def test_evidence_survives_its_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"ingestion must leave evidence of the span. There is none in {tmp_path}"):
        read_evidence(str(tmp_path))
    evidence = Evidence(
        span=4,
        files=(File("impressions", "log.csv", "00", 5),),
        logs={"impressions": Log((1, 2**53 - 1), (1.5,), {490_896: 5})},
        tables={"catalog": TableEvidence(3, 1, ("price", "tags"), {7: (1.5, (3, 4)), 8: (None, None)})},
        installs=InstallEvidence(1, 2, 3),
        labels=LabelCount(3, 2),
        labels_by_hour={490_896: LabelCount(3, 2)},
    )
    (tmp_path / EVIDENCE_FILE).write_text(evidence.to_json())
    assert read_evidence(str(tmp_path)) == evidence
    (tmp_path / EVIDENCE_FILE).write_text(evidence.to_json().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(InputError, match="a span's evidence must be of schema version 1: schema_version: "):
        read_evidence(str(tmp_path))
