"""Tests of ingestion of served rankings: impressions are what was shown, with the features that were scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.components.ingestion.ingested import Ingested, ingest
from tests.components.ingestion.served_logs import candidate, event, served_config, write_export, write_tables


def by_id(ingested: Ingested) -> dict[str, dict[str, list[Any]]]:
    rows = [row for split in ingested.examples.values() for row in split]
    return {row["impression_id"][0]: row for row in rows}


def test_a_candidate_that_was_shown_is_an_impression_with_the_features_that_were_scored(tmp_path: Path) -> None:
    write_tables(tmp_path)
    config = served_config(installs={"leave_out_unknown_labels": False})
    impressions = [
        candidate("r1", "x", 0, 1, **{"item.price": 0.1}),
        candidate("r1", "y", 0, 2, **{"context.owned": ["a", "b|c"], "context.page": "  new "}),
        candidate("r1", "z", 0, 3),
        candidate("r2", "x", 10, 1, **{"context.owned": None, "item.price": None}),
    ]
    events = [
        event("r1", "x", "shown", 1, position=2.0),
        event("r1", "y", "shown", 1, position=1.0),
        event("r2", "x", "shown", 11, position=3.0),
        event("r1", "y", "install", 50),
        event("r1", "y", "click", 40),
        event("r2", "x", "install", 111),
    ]
    write_export(tmp_path, impressions, events)
    ingested = ingest(config, tmp_path, tmp_path / "out")
    rows = by_id(ingested)
    assert sorted(rows) == ["r1/x", "r1/y", "r2/x"]
    assert rows["r1/x"]["price"] == [pytest.approx(0.1, rel=1e-7)]
    assert rows["r1/x"]["app"] == ["x"]
    assert rows["r1/y"]["owned"] == ["a", "b|c"]
    assert rows["r1/y"]["page"] == ["new"]
    assert rows["r2/x"].get("price", []) == []
    assert rows["r2/x"].get("owned", []) == []
    assert [rows[name]["place"] for name in sorted(rows)] == [[2.0], [1.0], [3.0]]
    assert [rows[name]["label"] for name in sorted(rows)] == [[0], [1], [0]]
    assert [rows[name]["timestamp"] for name in sorted(rows)] == [[1_796_083_200]] * 2 + [[1_796_083_210]]
    assert ingested.counts.not_shown == 1
    assert ingested.counts.events == {"used": 5, "late": 1}
    assert ingested.counts.read["impressions"] == 3
    assert len(ingested.catalog) == 3
