"""The dry run's documents come back as they were written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from components.artifacts import CHECKSUMS_FILE, VERDICT_FILE
from components.infra_validation.verdict import (
    Comparison,
    Latency,
    Measurements,
    Verdict,
    read_checksums,
    read_verdict,
    write_verdict,
)
from transform.errors import InputError

MEASURED = Measurements(0.9, 30.0, 700.0, 100.0, (Latency(200, 1, 20.0, 21.0, 22.0),), "rank")
SKEW = Comparison(7, 1, 0.25, "one differs")
VERDICT = Verdict(("one differs",), MEASURED, None, "it hung", SKEW, SKEW, SKEW, {"rank": SKEW}, 12, 0.5)
SHA256 = {"saved_model.pb": hashlib.sha256(b"a").hexdigest(), "assets/é": hashlib.sha256(b"b").hexdigest()}


def test_both_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_verdict(str(tmp_path), VERDICT, SHA256)
    assert read_verdict(str(tmp_path)) == VERDICT
    assert read_checksums(str(tmp_path)) == SHA256
    assert json.loads((tmp_path / VERDICT_FILE).read_text())["schema_version"] == 1
    assert json.loads((tmp_path / CHECKSUMS_FILE).read_text()) == {"sha256": SHA256, "schema_version": 1}


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^a dry run must leave its verdict\. Received: no file {tmp_path}"):
        read_verdict(str(tmp_path))
    with pytest.raises(InputError, match=r"^a dry run must leave checksums of the model's files\. Received: no "):
        read_checksums(str(tmp_path))
    write_verdict(str(tmp_path), VERDICT, SHA256)
    path = tmp_path / VERDICT_FILE
    path.write_text(path.read_text().replace('"num_rows": 7', '"num_rows": "7"', 1))
    with pytest.raises(InputError, match=r"^the dry run's verdict must follow its schema: `row_skew\.num_rows`: "):
        read_verdict(str(tmp_path))
    (tmp_path / CHECKSUMS_FILE).write_text('{"sha256": {"saved_model.pb": "../x"}, "schema_version": 1}')
    with pytest.raises(InputError, match=r"^the dry run's checksums must follow its schema: `sha256\.saved_model\.pb`"):
        read_checksums(str(tmp_path))
