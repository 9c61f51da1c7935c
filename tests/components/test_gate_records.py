"""A gate record is read as it was written, or refused with an error message."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from components.gate_records import RECORD_FILE, Finding, GateRecord, read_record, read_records, write_record
from transform.errors import InputError

FINDING = Finding(
    gate="drift",
    rule="drift.min_rows_ratio",
    severity="stop",
    subject="rows",
    value=10.0,
    bound=100.0,
    rows=None,
    sentence="a span must have at least 100 rows. Received: 10",
)
WARNING = Finding("drift", "drift.max_divergence", "warn", "weekday", 1.0, 0.2, 10, "weekday differs")


def record(span: int = 3) -> GateRecord:
    return GateRecord("drift", span, {"rows": 10, "by_label": {"1": [0.5, None]}}, (FINDING, WARNING))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_record(str(tmp_path), record())
    assert read_record(str(tmp_path)) == record()
    assert json.loads((tmp_path / RECORD_FILE).read_text())["schema_version"] == 1


def test_findings_are_told_apart_by_severity() -> None:
    assert record().of_severity("stop") == (FINDING,)
    assert record().of_severity("warn", "stop") == (FINDING, WARNING)
    assert record().of_severity("refuse") == ()


def test_records_come_in_the_order_of_their_spans(tmp_path: Path) -> None:
    for name, span in (("a", 4), ("b", 2)):
        write_record(str(tmp_path / name), record(span))
    assert [r.span for r in read_records([str(tmp_path / "a"), str(tmp_path / "b")])] == [2, 4]


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_none_is_not_written(number: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_record(str(tmp_path), GateRecord("drift", 3, {"rows": number}))
    assert not (tmp_path / RECORD_FILE).exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 2}, "schema_version: Input should be 1"),
        ({"span": "3"}, "span: Input should be a valid integer"),
        ({"surprise": 1}, "surprise: Unexpected keyword argument"),
        ({"findings": [{**FINDING.__dict__, "severity": "grave"}]}, "findings.0.severity: Input should be 'stop', "),
        ({"findings": [{**FINDING.__dict__, "value": "high"}]}, "findings.0.value: Input should be a valid number"),
    ],
)
def test_a_record_that_is_none_is_refused_in_words(change: dict[str, object], says: str, tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).write_text(json.dumps({**json.loads(record().to_json()), **change}))
    with pytest.raises(InputError) as caught:
        read_record(str(tmp_path))
    assert str(caught.value).startswith(f"a gate's record must be one of schema version 1: {says}")
    assert str(caught.value).endswith(f"({tmp_path / RECORD_FILE})")


def test_a_record_that_is_missing_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must have the file gate_record\.json"):
        read_record(str(tmp_path))
