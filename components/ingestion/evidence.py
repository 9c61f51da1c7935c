"""Evidence about a span, written by ingestion. A data gate uses it to detect a repeated or an unusual span.

The evidence is small and mergeable across files: counts, checksums, and sketches that keep the rows with the smallest
hashes. Equal rows have equal hashes in every span, so the sketches of two spans sample the rows that both spans
contain alike (a bottom-k sketch; Cohen and Kaplan, 2007).
"""

from __future__ import annotations

import os
from typing import Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from components import storage
from components.artifacts import EVIDENCE_FILE
from transform.errors import InputError

#: A table's value in a sketch: a number; a string's hash; the smallest hashes of a list's strings.
SketchValue = float | int | tuple[int, ...] | None

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class File:
    """A source's file: its path, the SHA-256 of its decompressed content, and its number of rows not rejected."""

    source: str
    path: str
    sha256: str
    num_rows: int


@dataclass(frozen=True, config=_STRICT)
class LabelCount:
    """The number of impressions with each label."""

    negatives: int = 0
    positives: int = 0


@dataclass(frozen=True, config=_STRICT)
class Log:
    """The rows of impressions, or of installs, that were not rejected when they were read.

    Attributes:
      sketch: The smallest distinct row hashes, ascending. A hash covers neither ids nor the date: of the timestamp
        only the time of day.
      time_quantiles: The quantiles `QUANTILES` of the sketch's timestamps, in seconds since 1970; empty without
        timestamps.
      rows_by_hour: Number of rows by hour, in hours since 1970; empty without timestamps.
    """

    sketch: tuple[int, ...] = ()
    time_quantiles: tuple[float, ...] = ()
    rows_by_hour: dict[int, int] = Field(default_factory=dict)


@dataclass(frozen=True, config=_STRICT)
class TableEvidence:
    """A joined table.

    Attributes:
      matched: Number of impressions whose key is in the table.
      unmatched: Number of impressions whose key is not in the table, rejected or not.
      columns: The names of the table's features.
      keys: The values of `columns` by the key's hash, for the keys with the smallest hashes.
    """

    matched: int
    unmatched: int
    columns: tuple[str, ...] = ()
    keys: dict[int, tuple[SketchValue, ...]] = Field(default_factory=dict)

    @property
    def unmatched_share(self) -> float:
        return self.unmatched / max(self.matched + self.unmatched, 1)


@dataclass(frozen=True, config=_STRICT)
class InstallEvidence:
    """Number of installs by the impressions that precede them.

    Attributes:
      attributed: Installs that follow an impression with the same keys within the attribution window.
      outside_window: Installs with impressions of the same keys, none of them within the window.
      without_impression: Installs without any impression of the same keys.
    """

    attributed: int = 0
    outside_window: int = 0
    without_impression: int = 0

    @property
    def num_installs(self) -> int:
        return self.attributed + self.outside_window + self.without_impression


@dataclass(frozen=True, config=_STRICT)
class ServedEvidence:
    """What the events say of a log of served rankings.

    Attributes:
      shown: Number of candidates that were shown.
      moved: Number of those that were shown elsewhere than at their place in the answer.
      events: Number of events by outcome (`components.ingestion.served.events`).
    """

    shown: int = 0
    moved: int = 0
    events: dict[str, int] = Field(default_factory=dict)


@dataclass(frozen=True, config=_STRICT)
class Evidence:
    """The evidence of one span.

    Attributes:
      span: The span's number.
      files: Every file of every source.
      logs: The logs by source, `impressions` and `installs`.
      tables: The tables by name.
      installs: The installs; None if labels are read from the log.
      served: What the events say of a log of served rankings; None of another log.
      labels: The labels of all examples; impressions whose labels are not known yet are not counted.
      labels_by_hour: The labels by hour, in hours since 1970; empty without timestamps.
      is_date: Whether the impressions' path names the span as a date; its number then counts days since 1970.
      schema_version: The version of this dataclass's schema.
    """

    span: int
    files: tuple[File, ...] = ()
    logs: dict[str, Log] = Field(default_factory=dict)
    tables: dict[str, TableEvidence] = Field(default_factory=dict)
    installs: InstallEvidence | None = None
    served: ServedEvidence | None = None
    labels: LabelCount = Field(default_factory=LabelCount)
    labels_by_hour: dict[int, LabelCount] = Field(default_factory=dict)
    is_date: bool = False
    schema_version: Literal[1] = 1

    def to_json(self) -> str:
        return _ADAPTER.dump_json(self, indent=1).decode()


_ADAPTER = TypeAdapter(Evidence)


def read_evidence(quarantine_uri: str) -> Evidence:
    """Reads the evidence of a Quarantine artifact.

    Raises:
      InputError: If there is none, or it does not follow the schema of this code.
    """
    path = os.path.join(quarantine_uri, EVIDENCE_FILE)
    text = storage.read_text(path)
    if text is None:
        raise InputError(f"ingestion must leave evidence of the span. There is none in {quarantine_uri}")
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"a span's evidence must be of schema version 1: {place}: {first['msg']} ({path})") from error
