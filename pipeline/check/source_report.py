"""Findings of `wdr check` in the first rows of a source."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from pydantic.dataclasses import dataclass

from transform.documents import CONFIG


@dataclasses.dataclass(frozen=True)
class Rejections:
    """The rows read that ingestion would reject for one reason: their number, and a description of the first one."""

    number: int
    first: str


@dataclasses.dataclass(frozen=True)
class SourceReport:
    """Findings in the first rows of a source.

    Attributes:
      name: The source.
      num_files: Number of its files.
      num_rows: Number of rows read.
      rejected: Rows that would be rejected, by reason, the most frequent reason first.
      labels: Number of rows with each label, if the source has a label.
      num_trimmed: By column, number of texts with leading or trailing white space, which ingestion ignores.
      num_null: By column, number of non-empty texts that mean "missing value".
      seconds: Time between the earliest and the latest row read; None without a timestamp column or without rows.
      is_whole: Whether all rows of the source were read.
    """

    name: str
    num_files: int
    num_rows: int
    rejected: dict[str, Rejections]
    labels: dict[int, int] = dataclasses.field(default_factory=dict)
    num_trimmed: dict[str, int] = dataclasses.field(default_factory=dict)
    num_null: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: float | None = None
    is_whole: bool = True

    @property
    def num_rejected(self) -> int:
        return sum(found.number for found in self.rejected.values())


@dataclass(frozen=True, config=CONFIG)
class CheckResult:
    """What was found in a config's data, by `wdr check --json`; a mistake is an error instead.

    Attributes:
      config: The config's file.
      span: The span that was checked.
      sources: What was found in each source.
      columns: Columns that no row has, one sentence each.
      joins: Keys without a row, one sentence for each table.
      values: Values that a window lacks, one sentence for each feature.
      training: Where the config leaves quality on the table, one sentence each.
      defaults: The keys that are left out and mean something else than in the last release, in one sentence.
      requests: Context features that differ within requests, one sentence each.
      labels: What follows from the labels of the rows read, one sentence each.
      splits: Splits with too few rows of a label, one sentence each.
      features: Features that are probably not what the config says of them, one sentence each.
      positions: How far the log can tell the effect of the position, in one sentence; empty without `at_serving`.
      schema_version: The version of this dataclass's schema.
    """

    config: str
    span: int
    sources: Sequence[SourceReport]
    columns: Sequence[str]
    joins: Sequence[str]
    values: Sequence[str]
    training: Sequence[str]
    defaults: Sequence[str] = ()
    requests: Sequence[str] = ()
    labels: Sequence[str] = ()
    splits: Sequence[str] = ()
    features: Sequence[str] = ()
    positions: Sequence[str] = ()
    schema_version: Literal[1] = 1


def most_frequent(report: SourceReport) -> str:
    """Describes the most frequent reason for rejection, with its number of rows and its first row."""
    reason, found = next(iter(report.rejected.items()))
    return f"most often {reason} ({found.number:,}), the first: {found.first}"


def described(report: SourceReport) -> str:
    """Returns a source's report as one line of text."""
    parts = [f"{report.name}: {report.num_files} files, the first {report.num_rows:,} rows read"]
    if report.rejected:
        rejected = ", ".join(f"{reason} {found.number:,}" for reason, found in report.rejected.items())
        parts.append(f"would be rejected: {rejected}; {most_frequent(report)}")
    else:
        parts.append("all good")
    for what, by_column in (("white space trimmed", report.num_trimmed), ("missing by null_values", report.num_null)):
        if by_column:
            parts.append(f"{what}: " + ", ".join(f"{column} {number:,}" for column, number in by_column.items()))
    return ", ".join(parts)
