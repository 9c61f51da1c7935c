"""Reads config and data and says what is wrong, before anything runs."""

from __future__ import annotations

import collections
import dataclasses

from components.ingestion.readers import read_rows, unit_of
from components.ingestion.rows import RowError, RowParser
from components.ingestion.spans import SpanFiles
from transform.config import Config
from transform.errors import InputError
from transform.feature_spec import IMPRESSIONS


@dataclasses.dataclass(frozen=True)
class SourceReport:
    """What was found in the first rows of a source.

    Attributes:
      name: The source.
      num_files: Its files.
      num_rows: Rows read.
      rejected: Rows that would be rejected, by reason.
      first_rejection: The first of them in words.
      labels: How often each label was seen, where the rows have one.
    """

    name: str
    num_files: int
    num_rows: int
    rejected: dict[str, int]
    first_rejection: str
    labels: dict[int, int]


def check_files(config: Config, found: SpanFiles) -> None:
    """Raises InputError if a file cannot be opened or lacks a column, or all files of a source are empty."""
    for name, by_split in found.files.items():
        source = config.sources.of(name)
        columns = _column_names(config, name)
        paths = [path for paths in by_split.values() for path in paths]
        first_rows = [next(read_rows(path, source.format, columns, config.ingestion), None) for path in paths]
        if not any(first_rows):
            raise InputError(f"the source `{name}` must have a row. Received: none ({paths[0]})")


def check_rows(config: Config, found: SpanFiles, max_rows: int) -> list[SourceReport]:
    """Reads the first rows of every source.

    Args:
      config: The config.
      found: The span's files.
      max_rows: How many rows of each source.

    Returns:
      A report for each source.

    Raises:
      InputError: If a file cannot be used at all, or the rows read are not fit for a run.
    """
    reports = [_check_source(config, found, name, max_rows) for name in found.files]
    for report in reports:
        _check_fitness(config, found, report)
    return reports


def _check_fitness(config: Config, found: SpanFiles, report: SourceReport) -> None:
    first_path = next(path for paths in found.files[report.name].values() for path in paths)
    if report.num_rows == 0:
        raise InputError(f"the source `{report.name}` must have a row. Received: none ({first_path})")
    fraction = sum(report.rejected.values()) / report.num_rows
    allowed = config.ingestion.max_rejected_fraction
    if fraction > allowed:
        raise InputError(
            f"at most {allowed:.2%} of `{report.name}` may be rejected (ingestion.max_rejected_fraction). "
            f"Received: {fraction:.2%} of the first {report.num_rows} rows; the first: {report.first_rejection}"
        )
    label = config.sources.impressions.label
    if report.name == IMPRESSIONS and label is not None and len(report.labels) < 2:
        raise InputError(
            f"`{label}` must be 0 in some rows and 1 in others. Received: "
            f"{f'only {next(iter(report.labels))}' if report.labels else 'neither'} in the first {report.num_rows} "
            f"rows ({first_path})"
        )


def _column_names(config: Config, name: str) -> list[str]:
    return list(dict.fromkeys(column.name for column in config.columns[name]))


def _check_source(config: Config, found: SpanFiles, name: str, max_rows: int) -> SourceReport:
    source = config.sources.of(name)
    parser = RowParser(config.columns[name], source.null_values, source.list_separator, config.ingestion)
    label = next((i for i, column in enumerate(parser.columns) if column.kind == "label"), None)
    paths = [path for by_split in found.files[name].values() for path in by_split]
    rejected: collections.Counter[str] = collections.Counter()
    labels: collections.Counter[int] = collections.Counter()
    first, num_rows = "", 0
    for path in paths:
        for row in read_rows(path, source.format, _column_names(config, name), config.ingestion):
            if num_rows >= max_rows:
                break
            num_rows += 1
            reason, detail = row.reason, row.detail
            if row.values is not None:
                try:
                    values = parser.parse(row.values)
                except RowError as error:
                    reason, detail = error.reason, error.detail
                else:
                    if label is not None:
                        labels[values[label]] += 1
                    continue
            rejected[reason] += 1
            first = first or f"{detail} ({unit_of(source.format)} {row.number}, {path})"
    return SourceReport(name, len(paths), num_rows, dict(rejected), first, dict(labels))
