"""Findings of `wdr check` in files and rows, in addition to the messages in tests/e2e/test_bad_input.py."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from components.ingestion.columns.text_counts import TextCounts
from components.ingestion.formats.blocks import RawBlock
from components.ingestion.spans import SpanFiles, resolve_span
from components.ingestion.typed_reader import TypedBlock, TypedReader
from pipeline.check.rows import check_files, check_rows, check_span, one_label
from pipeline.check.source_report import Rejections, SourceReport, described
from pipeline.check.spans import unmatched_joins
from pipeline.cli.main import cli
from tests.transform.small_config import REMOVED, small_config
from transform.config.config import Config
from transform.errors import InputError, UnreadableError, UnusableLogsError

INSTALLS = {"path": "installs.csv", "format": "csv", "keys": ["user"], "timestamp": "at"}
CONFIG = small_config(("sources.impressions.path", "log-*.csv"), ("ingestion.max_rejected_fraction", 0.5))
HEADER = "clicked,request,app,installed\n"


def write(folder: Path, *logs: str, apps: str = "app,price\na,1\nb,2\n") -> SpanFiles:
    """Writes the log files and the catalog."""
    for i, log in enumerate(logs):
        (folder / f"log-{i}.csv").write_text(log)
    (folder / "apps.csv").write_text(apps)
    return resolve_span(CONFIG, str(folder))


def reported(config: Config, found: SpanFiles, max_rows: int = 100) -> str:
    with pytest.raises(InputError) as caught:
        check_rows(config, found, max_rows)
    return str(caught.value)


def numbers(report: SourceReport) -> dict[str, int]:
    return {reason: found.number for reason, found in report.rejected.items()}


def test_a_disk_that_is_away_is_no_reason_to_skip_a_span(tmp_path: Path) -> None:
    write(tmp_path, HEADER + "1,r1,a,\n")
    (tmp_path / "log-0.csv").unlink()
    with pytest.raises(UnusableLogsError):
        check_span(CONFIG, str(tmp_path), None)
    (tmp_path / "log-0.csv").symlink_to("/proc/self/mem")  # it can be opened; reading its first byte fails
    with pytest.raises(UnreadableError):
        check_span(CONFIG, str(tmp_path), None)


def test_every_source_has_its_report(tmp_path: Path) -> None:
    found = write(tmp_path, HEADER + "1,r1,a,\n0,r1,b,a|b\n", HEADER + "2,r2,a,\n0,,a,\n", apps="app,price\na,x\nb,2\n")
    check_files(CONFIG, found)
    assert check_rows(CONFIG, found, 100) == [
        SourceReport(
            "impressions",
            num_files=2,
            num_rows=4,
            rejected={
                "bad_label": Rejections(1, f"`clicked` must be 0 or 1. Received: '2' (line 2, {tmp_path}/log-1.csv)"),
                "missing_value": Rejections(1, f"`request` must have a value (line 3, {tmp_path}/log-1.csv)"),
            },
            labels={1: 1, 0: 1},
        ),
        SourceReport(
            "catalog",
            num_files=1,
            num_rows=2,
            rejected={
                "bad_type": Rejections(1, f"`price` must be a number. Received: 'x' (line 2, {tmp_path}/apps.csv)")
            },
        ),
    ]


def test_no_more_rows_are_read_than_asked_for(tmp_path: Path) -> None:
    log = HEADER + "1,r1,a,\n0,r1,a,\n9,r1,a,\n"
    impressions, catalog = check_rows(CONFIG, write(tmp_path, log, log), 2)
    assert (impressions.num_rows, impressions.rejected, impressions.num_files) == (2, {}, 2)
    assert catalog.num_rows == 2
    impressions, _ = check_rows(CONFIG, write(tmp_path, log, log), 5)
    assert (impressions.num_rows, numbers(impressions)) == (5, {"bad_label": 1})
    assert not impressions.is_whole
    assert catalog.is_whole


def test_as_many_rows_as_allowed_may_be_rejected(tmp_path: Path) -> None:
    rows = ["1,r,a,\n", "0,r,a,\n", "9,r,a,\n", "8,r,a,\n"]
    assert check_rows(CONFIG, write(tmp_path, HEADER + "".join(rows)), 100)[0].rejected["bad_label"].number == 2
    found = write(tmp_path, HEADER + "".join([*rows, "7,r,a,\n"]))
    assert reported(CONFIG, found) == (
        "at most 50.00% of `impressions` may be rejected (ingestion.max_rejected_fraction). Received: 60.00% of the "
        "first 5 rows; most often bad_label (3), the first: `clicked` must be 0 or 1. Received: '9' (line 4, "
        f"{tmp_path}/log-0.csv)"
    )


@pytest.mark.parametrize(("label", "received"), [("0", "only 0"), ("1", "only 1")])
def test_both_labels_are_needed(tmp_path: Path, label: str, received: str) -> None:
    found = write(tmp_path, HEADER + f"{label},r,a,\n" * 3)
    assert reported(CONFIG, found) == (
        f"`clicked` must be 0 in some rows and 1 in others. Received: {received} in the first 3 rows "
        f"({tmp_path}/log-0.csv)"
    )


@pytest.mark.parametrize(("first", "second"), [("0", "1"), ("1", "0")])
def test_one_label_in_the_first_of_more_rows_is_no_error(tmp_path: Path, first: str, second: str) -> None:
    found = write(tmp_path, HEADER + f"{first},r1,a,\n" * 3, HEADER + f"{second},r2,a,\n")
    reports = check_rows(CONFIG, found, 3)
    assert one_label(CONFIG, reports) == [
        f"`clicked` is only {first} in the first 3 rows, and a run needs both labels; `--rows` reads more rows"
    ]
    assert one_label(CONFIG, check_rows(CONFIG, found, 4)) == []


def test_the_command_says_that_the_first_rows_have_one_label(tmp_path: Path) -> None:
    log = "app,clicked\n" + "a,0\n" * 5 + "b,1\n" * 5
    (tmp_path / "log.csv").write_text(log)
    (tmp_path / "c.yaml").write_text(
        "{name: c, sources: {impressions: {path: log.csv, format: csv, label: clicked}}, "
        "ingestion: {split_by: row_hash}, features: [{name: app, side: context, kind: categorical, vocabulary: {}}], "
        "evaluation: {thresholds: {auc: {min: 0.5}}}}"
    )
    command = ["check", str(tmp_path / "c.yaml"), "--data", str(tmp_path)]
    result = CliRunner().invoke(cli, [*command, "--rows", "4"], catch_exceptions=False)
    assert (
        "labels: `clicked` is only 0 in the first 4 rows, and a run needs both labels; `--rows` reads more rows"
    ) in result.stdout.splitlines()
    assert "labels:" not in CliRunner().invoke(cli, command, catch_exceptions=False).stdout
    as_json = CliRunner().invoke(cli, [*command, "--rows", "4", "--json"], catch_exceptions=False)
    assert "labels: `clicked` is only 0" in as_json.stderr
    assert "labels:" not in as_json.stdout


def test_rows_that_are_all_rejected_have_neither_label(tmp_path: Path) -> None:
    config = small_config(("sources.impressions.path", "log-*.csv"), ("ingestion.max_rejected_fraction", 1.0))
    assert "Received: neither in the first 2 rows" in reported(config, write(tmp_path, HEADER + "9,r,a,\n" * 2))


def test_labels_from_installs_are_ingestion_s_to_find(tmp_path: Path) -> None:
    config = small_config(
        ("sources.impressions", {"path": "log-*.csv", "format": "csv", "request_id": "request", "timestamp": "time"}),
        ("sources.installs", INSTALLS),
    )
    write(tmp_path, "request,time,app,installed,user\nr,1,a,,u\nr,2,b,,u\n")
    (tmp_path / "installs.csv").write_text("user,at\nu,5\n")
    found = resolve_span(config, str(tmp_path))
    check_files(config, found)
    reports = check_rows(config, found, 100)
    assert [(r.name, r.num_rows, r.labels) for r in reports] == [
        ("impressions", 2, {}),
        ("catalog", 2, {}),
        ("installs", 1, {}),
    ]


def test_one_empty_part_of_several_is_no_mistake(tmp_path: Path) -> None:
    check_files(CONFIG, write(tmp_path, HEADER, HEADER + "1,r,a,\n", HEADER))
    found = write(tmp_path, HEADER, HEADER, HEADER)
    with pytest.raises(InputError) as caught:
        check_files(CONFIG, found)
    assert str(caught.value) == f"the source `impressions` must have a row. Received: none ({tmp_path}/log-0.csv)"
    assert reported(CONFIG, found) == str(caught.value)


def test_a_part_with_other_columns_is_found_wherever_it_is(tmp_path: Path) -> None:
    found = write(tmp_path, HEADER + "1,r,a,\n", HEADER + "0,r,a,\n", "clicked,request,app\n1,r,a\n")
    with pytest.raises(InputError) as caught:
        check_files(CONFIG, found)
    assert str(caught.value) == (
        f"the columns ['installed'] are missing. Received: ['clicked', 'request', 'app'] ({tmp_path}/log-2.csv)"
    )


def test_a_log_that_is_split_is_read_in_both_splits(tmp_path: Path) -> None:
    config = small_config(
        ("sources.impressions.path", REMOVED), ("sources.impressions.splits", {"train": "t.csv", "eval": "e.csv"})
    )
    write(tmp_path, HEADER)
    (tmp_path / "t.csv").write_text(HEADER + "1,r,a,\n")
    (tmp_path / "e.csv").write_text(HEADER + "0,r,a,\n")
    found = resolve_span(config, str(tmp_path))
    assert check_rows(config, found, 100)[0].labels == {0: 1, 1: 1}


def test_a_source_is_found_by_its_name() -> None:
    config = small_config(
        ("sources.impressions", {"path": "log.csv", "format": "tsv", "request_id": "request", "timestamp": "time"}),
        ("sources.installs", INSTALLS),
    )
    assert config.sources.of("impressions") is config.sources.impressions
    assert config.sources.of("installs") is config.sources.installs
    assert config.sources.of("catalog") is config.sources.tables["catalog"]


def test_the_most_frequent_reason_is_named_not_the_first(tmp_path: Path) -> None:
    rows = ["9,r,a,\n", "0,,a,\n", "1,,b,\n", "1,r,a,\n", "0,r,a,\n"]
    config = small_config(("sources.impressions.path", "log-*.csv"), ("ingestion.max_rejected_fraction", 0.6))
    found = write(tmp_path, HEADER + "".join(rows))
    assert described(check_rows(config, found, 100)[0]) == (
        "impressions: 1 files, the first 5 rows read, would be rejected: missing_value 2, bad_label 1; most often "
        f"missing_value (2), the first: `request` must have a value (line 3, {tmp_path}/log-0.csv)"
    )
    assert "most often missing_value (2), the first: `request` must" in reported(CONFIG, found)


def test_white_space_and_null_values_are_said(tmp_path: Path) -> None:
    config = small_config(
        ("sources.impressions.path", "log-*.csv"),
        ("sources.impressions.null_values", ["?", "none"]),
        ("features.0.required", False),
    )
    rows = ["1,r1, a,a|b\n", "0 ,r2,b ,?\n", "0,r3,b,\n", "1,r4,b, none\n"]
    report, _ = check_rows(config, write(tmp_path, HEADER + "".join(rows)), 100)
    assert (report.num_trimmed, report.num_null) == ({"clicked": 1, "app": 2, "installed": 1}, {"installed": 2})
    assert described(report) == (
        "impressions: 1 files, the first 4 rows read, all good, white space trimmed: clicked 1, app 2, installed 1, "
        "missing by null_values: installed 2"
    )


TIMED = (("sources.impressions.timestamp", "time"), ("ingestion.split_by", "time"))
TIMED_LOG = "clicked,request,time,app,installed\n" + "".join(f"{i % 2},r,{1000 + 50 * i},a,\n" for i in range(5))


def test_an_evaluation_part_must_be_shorter_than_the_span(tmp_path: Path) -> None:
    def check(seconds: float, max_rows: int = 100) -> list[SourceReport]:
        config = small_config(("sources.impressions.path", "log-*.csv"), *TIMED, ("ingestion.eval_seconds", seconds))
        return check_rows(config, write(tmp_path, TIMED_LOG), max_rows)

    assert check(200)[0].seconds == 200
    with pytest.raises(InputError) as caught:
        check(201)
    assert str(caught.value) == (
        "`ingestion.eval_seconds` must be shorter than the span, or nothing is left to train on. Received: 201 for a "
        f"span of 200 seconds ({tmp_path}/log-0.csv)"
    )
    check(201, max_rows=4)  # the first rows do not determine the length of the span


def test_a_window_needs_spans(tmp_path: Path) -> None:
    config = small_config(("sources.impressions.path", "log-*.csv"), ("ingestion.window_spans", 2))
    with pytest.raises(InputError) as caught:
        check_files(config, write(tmp_path, HEADER + "1,r,a,\n"))
    assert str(caught.value) == (
        "`ingestion.window_spans: 2` needs impressions whose path names the span, as {SPAN} or a date. Received: "
        "log-*.csv"
    )


def test_late_labels_need_spans(tmp_path: Path) -> None:
    installs = {"path": "installs.csv", "format": "csv", "keys": ["app", "r"], "late_labels": True}
    config = small_config(
        ("sources.impressions.path", "log-*.csv"),
        ("sources.impressions.label", REMOVED),
        ("sources.impressions.timestamp", "time"),
        ("sources.installs", installs),
    )
    with pytest.raises(InputError) as caught:
        check_files(config, write(tmp_path, HEADER + "1,r,a,\n"))
    assert str(caught.value) == (
        "`sources.installs.late_labels` needs impressions whose path names the span, as {SPAN} or a date. Received: "
        "log-*.csv"
    )


def test_the_impressions_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{i % 2},r{i // 2},{'ab'[i % 3 % 2]},a\n" for i in range(60))
    write(tmp_path, HEADER + rows)
    log = {"path": "log-0.csv", "format": "csv", "label": "clicked", "request_id": "request"}
    config = {
        "name": "once",
        "sources": {"impressions": log},
        "features": [{"name": "app", "side": "context", "kind": "categorical", "vocabulary": {}}],
        "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    read: list[str] = []
    typed = TypedReader.typed

    def counted(reader: TypedReader, block: RawBlock, path: str, texts: TextCounts | None = None) -> TypedBlock:
        read.append(path)
        return typed(reader, block, path, texts)

    monkeypatch.setattr(TypedReader, "typed", counted)
    result = CliRunner().invoke(cli, ["check", str(tmp_path / "c.yaml"), "--data", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert {"splits", "requests"} <= {line.split(":")[0] for line in result.output.splitlines()}
    assert read == [str(tmp_path / "log-0.csv")]


def test_a_table_s_rows_are_not_all_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a table of 20 files, each a block, one block and the next one are there at most."""
    config = small_config(("sources.impressions.path", "log-*.csv"), ("sources.tables.catalog.path", "apps-*.csv"))
    (tmp_path / "log-0.csv").write_text(HEADER + "1,r1,a,\n0,r1,b,\n")
    for number in range(20):
        (tmp_path / f"apps-{number:02d}.csv").write_text(f"app,price\nx{number},1\n")
    arrays: list[weakref.ref[Any]] = []
    most, typed = 0, TypedReader.typed

    def counted(reader: TypedReader, block: RawBlock, path: str, texts: TextCounts | None = None) -> TypedBlock:
        nonlocal most
        found = typed(reader, block, path, texts)
        if "apps" in path:
            arrays.append(weakref.ref(found.values[0]))
            most = max(most, sum(array() is not None for array in arrays))
        return found

    monkeypatch.setattr(TypedReader, "typed", counted)
    found = resolve_span(config, str(tmp_path))
    (catalog,) = (report for report in check_rows(config, found, 100) if report.name == "catalog")
    assert (catalog.num_rows, catalog.num_files) == (20, 20)
    assert most <= 2
    assert unmatched_joins(config, found, 100) == [
        "2 of the first 2 impressions have a key that `catalog` does not have, most often 'a'"
    ]
    assert most <= 2
