"""Tests of `wdr check` on a log of served rankings."""

from __future__ import annotations

from pathlib import Path

from components.ingestion.spans import resolve_span
from pipeline.check.features import doubtful_features
from pipeline.check.first_rows import ReadRows
from pipeline.check.requests import differing_contexts
from pipeline.check.rows import check_files, check_rows
from pipeline.check.spans import unmatched_joins, values_outside_windows
from tests.components.ingestion.served_logs import candidate, event, served_config, write_export, write_tables
from transform.feature import IMPRESSIONS


def test_what_was_shown_is_checked_and_no_table_is_joined(tmp_path: Path) -> None:
    write_tables(tmp_path)
    config = served_config()
    log = [candidate("r1", "x", 0), candidate("r1", "y", 0), candidate("r2", "x", 9)]
    write_export(tmp_path, log, [event("r1", "x", "shown", 1), event("r2", "x", "shown", 10)])
    found = resolve_span(config, str(tmp_path))
    assert sorted(found.files) == ["catalog", "impressions", "installs"]
    check_files(config, found)
    impressions = ReadRows(config, found, IMPRESSIONS, 100)
    reports = {report.name: report for report in check_rows(config, found, 100, impressions)}
    assert {name: (report.num_rows, report.num_rejected) for name, report in reports.items()} == {
        "catalog": (3, 0),
        "impressions": (2, 0),
        "installs": (2, 0),
    }
    assert unmatched_joins(config, found, 100) == [
        "no table is joined to a log of served rankings, which has all features as they were scored: the `source` of "
        "`price`, `owned` says only where a ranking finds them"
    ]
    assert differing_contexts(config, impressions) == []
    (app, page) = values_outside_windows(config, str(tmp_path), found, 100)
    assert "`app` has one value in each span, such as 'x'" in app
    assert "`page` has one value in each span, such as 'top'" in page
    assert [line.split(" ")[0] for line in doubtful_features(config, impressions)] == ["`place`"]
