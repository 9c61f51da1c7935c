"""What the examples of served rankings have for scoring them again, and how many items were shown elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.ingestion.evidence import ServedEvidence, read_evidence
from tests.components.ingestion.ingested import ingest
from tests.components.ingestion.served_logs import candidate, event, served_config, write_export, write_tables


def test_an_example_has_the_score_and_the_version_that_ranked_it(tmp_path: Path) -> None:
    write_tables(tmp_path)
    impressions = [
        candidate("r1", "x", 0, 1, score=0.25),
        candidate("r1", "y", 0, 2, score=0.125, version=1_796_083_200),
        candidate("r1", "z", 0, 3),
    ]
    events = [
        event("r1", "x", "shown", 1, position=1.0),
        event("r1", "y", "shown", 1, position=3.0),
        event("r1", "x", "install", 2),
        event("r9", "x", "install", 2),
    ]
    write_export(tmp_path, impressions, events)
    config = served_config(installs={"leave_out_unknown_labels": False})
    ingested = ingest(config, tmp_path, tmp_path / "out")
    rows = {row["impression_id"][0]: row for split in ingested.examples.values() for row in split}
    assert {name: row["served_version"] for name, row in rows.items()} == {"r1/x": ["1"], "r1/y": ["1796083200"]}
    assert {name: row["served_score"] for name, row in rows.items()} == {
        "r1/x": [pytest.approx(0.25)],
        "r1/y": [pytest.approx(0.125)],
    }
    assert ingested.counts.moved == 1
    evidence = read_evidence(str(tmp_path / "out" / "quarantine"))
    assert evidence.served == ServedEvidence(2, 1, {"used": 3, "unknown_request": 1})
