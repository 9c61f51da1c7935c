"""Checks config and data, and reports what is wrong, before a run starts."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable, Sequence

import pyarrow.compute as pc

from components.ingestion.formats.readers import read_blocks, unit_of
from components.ingestion.spans import SpanFiles, has_spans, resolve_span
from components.ingestion.typed_reader import TypedBlock
from pipeline.check.first_rows import FirstRows, ReadRows, value_counts
from pipeline.check.source_report import Rejections, SourceReport, most_frequent
from transform.config.config import Config
from transform.errors import InputError, UnusableLogsError
from transform.feature import IMPRESSIONS


def check_files(config: Config, found: SpanFiles) -> None:
    """Checks a span's files: reads each up to the first block with a row.

    Raises:
      InputError: If a file is missing or lacks a column, all files of a source are empty, or the config has a
        window of several spans, or late labels, but its logs have no spans.
    """
    window = config.ingestion.window_spans
    needs_spans = {
        f"`ingestion.window_spans: {window}`": window > 1,
        "`sources.installs.late_labels`": config.sources.has_late_labels,
    }
    for key, is_set in needs_spans.items():
        if is_set and not has_spans(config):
            paths = list(config.sources.impressions.paths.values())
            raise InputError(
                f"{key} needs impressions whose path names the span, as {{SPAN}} or a date. Received: {paths[0]}"
            )
    for name, by_split in found.files.items():
        source = config.sources.of(name)
        columns = list(dict.fromkeys(column_name for column in config.columns[name] for column_name in column.names))
        paths = [path for paths in by_split.values() for path in paths]
        blocks = (read_blocks(path, source.format, columns, config.ingestion, text=source.text) for path in paths)
        have_rows = [any(block.num_rows for block in of_file) for of_file in blocks]
        if not any(have_rows):
            raise InputError(f"the source `{name}` must have a row. Received: none ({paths[0]})")


def check_span(config: Config, data_root: str, span: int | None) -> SpanFiles:
    """Finds a span's files and checks them, as a run does before anything else.

    Raises:
      UnusableLogsError: If they are missing or of no use.
      UnreadableError: If a file cannot be read now.
    """
    try:
        found = resolve_span(config, data_root, span)
        check_files(config, found)
    except InputError as error:
        raise UnusableLogsError(str(error)) from error
    return found


def check_rows(
    config: Config, found: SpanFiles, max_rows: int, impressions: ReadRows | None = None
) -> list[SourceReport]:
    """Checks the first rows of every source, block by block: only `impressions` is in memory as a whole.

    Args:
      config: The config.
      found: The span's files.
      max_rows: Maximum number of rows to read of each source.
      impressions: The first impressions if they were read before.

    Returns:
      A report for each source.

    Raises:
      InputError: If a file is missing or damaged, or the rows read are not fit for a run.
    """
    reports = []
    for name in found.files:
        if name == IMPRESSIONS and impressions is not None:
            reading, blocks = impressions.reading, iter([block for _, block in impressions.blocks])
        else:
            reading = FirstRows(config, found, name, config.columns[name], max_rows)
            blocks = reading.blocks()
        reports.append(_check_source(config, found, name, reading, blocks))
    for report in reports:
        _check_fitness(config, found, report)
    return reports


def one_label(config: Config, reports: Sequence[SourceReport]) -> list[str]:
    """Returns a sentence if all rows read have one label and the log has further rows, as one sorted by its label has.

    Args:
      config: The config.
      reports: What `check_rows` found in the sources' first rows.
    """
    return [
        f"`{config.sources.impressions.label}` is only {next(iter(report.labels))} in the first {report.num_rows:,} "
        "rows, and a run needs both labels; `--rows` reads more rows"
        for report in reports
        if len(report.labels) == 1 and not report.is_whole
    ]


def _check_fitness(config: Config, found: SpanFiles, report: SourceReport) -> None:
    first_path = next(path for paths in found.files[report.name].values() for path in paths)
    if report.num_rows == 0:
        raise InputError(f"the source `{report.name}` must have a row. Received: none ({first_path})")
    fraction = report.num_rejected / report.num_rows
    allowed = config.ingestion.max_rejected_fraction
    if fraction > allowed:
        raise InputError(
            f"at most {allowed:.2%} of `{report.name}` may be rejected (ingestion.max_rejected_fraction). "
            f"Received: {fraction:.2%} of the first {report.num_rows} rows; {most_frequent(report)}"
        )
    log, ingestion = config.sources.impressions, config.ingestion
    if report.name != IMPRESSIONS:
        return
    if log.label is not None and len(report.labels) < (2 if report.is_whole else 1):
        raise InputError(
            f"`{log.label}` must be 0 in some rows and 1 in others. Received: "
            f"{f'only {next(iter(report.labels))}' if report.labels else 'neither'} in the first {report.num_rows} "
            f"rows ({first_path})"
        )
    is_split_by_time = log.splits is None and ingestion.split_by == "time"
    if is_split_by_time and report.is_whole and (report.seconds or 0) < ingestion.eval_seconds:
        raise InputError(
            "`ingestion.eval_seconds` must be shorter than the span, or nothing is left to train on. Received: "
            f"{ingestion.eval_seconds:g} for a span of {report.seconds or 0:,.0f} seconds ({first_path})"
        )


def _check_source(
    config: Config, found: SpanFiles, name: str, reading: FirstRows, blocks: Iterable[TypedBlock]
) -> SourceReport:
    source, kinds = config.sources.of(name), [column.kind for column in reading.columns]
    label, time = (kinds.index(kind) if kind in kinds else None for kind in ("label", "timestamp"))
    numbers: collections.Counter[str] = collections.Counter()
    first: dict[str, str] = {}
    labels: collections.Counter[int] = collections.Counter()
    earliest, latest = math.inf, -math.inf
    for block in blocks:
        for row in block.rejections:
            numbers[row.reason] += 1
            first.setdefault(row.reason, f"{row.detail} ({unit_of(source.format)} {row.line}, {row.file})")
        if label is not None:
            labels.update(value_counts(block.values[label]))
        if time is not None and len(block.numbers):
            bounds = pc.min_max(block.values[time]).as_py()
            earliest, latest = min(earliest, bounds["min"]), max(latest, bounds["max"])
    return SourceReport(
        name,
        sum(map(len, found.files[name].values())),
        reading.num_rows,
        {reason: Rejections(number, first[reason]) for reason, number in numbers.most_common()},
        dict(labels),
        {column: number for column, number in reading.texts.trimmed.items() if number},
        {column: number for column, number in reading.texts.null.items() if number},
        latest - earliest if latest >= earliest else None,
        reading.is_whole,
    )
