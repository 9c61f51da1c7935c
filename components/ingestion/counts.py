"""Counts of one ingestion: rows read, kept and rejected."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from components import storage
from components.artifacts import COUNTS_FILE
from transform.config.settings import Ingestion
from transform.errors import InputError
from transform.feature import IMPRESSIONS

#: The key of a count that ingestion's transforms emit together with a number: ("read", source), ("rejected", source,
#: reason), ("event", outcome), ("not_shown",), ("moved",),
#: ("lines", source, field of LineCounts), ("label", split, label, hour since 1970 or ""), ("unmatched", table),
#: ("unmatched_rejected", table), ("install", field of InstallEvidence), ("unknown_label",), ("after_end", source) or
#: ("unusable", sentence).
CountKey = tuple[str, ...]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class LineCounts:
    """The lines of a text file, or of all text files of a source.

    Attributes:
      total: All lines, counted from the file's bytes, independently of the reader of its rows.
      header: Lines before a file's first row: header lines, and those that the config says to skip.
      blank: Lines without a field.
      rows: Lines that belong to rows, kept or rejected.
      multi_line_rows: Number of rows that span several lines.
    """

    total: int = 0
    header: int = 0
    blank: int = 0
    rows: int = 0
    multi_line_rows: int = 0

    def check(self, path: str) -> None:
        """Raises InputError unless each line is the header, blank, or part of a row."""
        if self.total != self.header + self.blank + self.rows:
            raise InputError(
                "every line of a file must be its header, blank, or part of a row that was kept or rejected. Received: "
                f"{self.total:,} lines, {self.header} of the header, {self.blank:,} blank, {self.rows:,} of rows; was "
                f"the file changed while it was read? ({path})"
            )

    def pairs(self, source: str) -> Iterator[tuple[CountKey, int]]:
        """Yields each count with its key."""
        for field in dataclasses.fields(self):
            yield ("lines", source, field.name), getattr(self, field.name)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Counts:
    """The counts of one ingestion.

    Attributes:
      span: The span's number.
      read: Rows read, by source.
      rejected: Rows rejected, by source, then by reason.
      lines: The line counts of each source whose files are text.
      labels: Examples written, by split, then by label ("0" or "1").
      unknown_labels: Impressions left out because their labels are not known yet.
      after_end: Rows whose time is later than the end of the logs by more than the attribution window, by source.
      unmatched: Impressions whose key is missing from a table, by table.
      unusable_files: One sentence for each file that could not be used.
      not_shown: Of served rankings, the candidates that were not shown: they are no impressions.
      moved: Of served rankings, the impressions that were shown elsewhere than at their place in the answer.
      events: Of served rankings, the events by their outcome (`components.ingestion.served.events`).
    """

    span: int
    read: dict[str, int] = Field(default_factory=dict)
    rejected: dict[str, dict[str, int]] = Field(default_factory=dict)
    lines: dict[str, LineCounts] = Field(default_factory=dict)
    labels: dict[str, dict[str, int]] = Field(default_factory=dict)
    unknown_labels: int = 0
    after_end: dict[str, int] = Field(default_factory=dict)
    unmatched: dict[str, int] = Field(default_factory=dict)
    unusable_files: tuple[str, ...] = ()
    not_shown: int = 0
    moved: int = 0
    events: dict[str, int] = Field(default_factory=dict)

    @property
    def num_examples(self) -> dict[str, int]:
        """Number of examples written, by split."""
        return {split: sum(by_label.values()) for split, by_label in self.labels.items()}

    @property
    def num_rejected(self) -> int:
        """Number of impressions rejected."""
        return sum(self.rejected.get(IMPRESSIONS, {}).values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each thing that is odd about the rows of a span that is fit for training."""
        unused = {outcome: number for outcome, number in sorted(self.events.items()) if outcome != "used"}
        by_outcome = ", ".join(f"{outcome} {number:,}" for outcome, number in unused.items())
        of_events = f"{sum(unused.values()):,} of {sum(self.events.values()):,} events are not used: {by_outcome}"
        return (*((of_events,) if unused else ()), *self._after_end())

    def _after_end(self) -> tuple[str, ...]:
        return tuple(
            f"{number:,} of {self.read.get(source, 0):,} rows of `{source}` have a time after the end of the logs by "
            "more than sources.installs.attribution_seconds, as of a wrong clock: they do not move the end by which it "
            "is decided which labels are known"
            for source, number in sorted(self.after_end.items())
        )

    def to_json(self) -> str:
        return json.dumps(_ADAPTER.dump_python(self, mode="json"), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Counts:
        return _ADAPTER.validate_json(text)


_ADAPTER = TypeAdapter(Counts)


def read_counts(quarantine_uri: str) -> Counts:
    """Reads the counts that ingestion wrote into a Quarantine artifact; raises InputError if there are none."""
    path = os.path.join(quarantine_uri, COUNTS_FILE)
    text = storage.read_text(path)
    if text is None:
        raise InputError(f"an ingestion's counts must have the file {COUNTS_FILE} ({quarantine_uri})")
    return Counts.from_json(text)


def unfitness(counts: Counts, ingestion: Ingestion) -> str:
    """Returns the reason why a span's rows are unfit for training, as a sentence; an empty string if they are fit.

    The same counts give the same sentence, by which a later ingestion of the rows is known to have the same finding: it
    does not name the ingestion's folders.
    """
    if counts.unusable_files:
        return "; ".join(counts.unusable_files[:3])
    num_read, max_rejected_fraction = counts.read.get(IMPRESSIONS, 0), ingestion.max_rejected_fraction
    kept = counts.num_examples
    if num_read != counts.num_rejected + counts.unknown_labels + sum(kept.values()):
        return (
            f"every row read must be kept, rejected or left out. Received: {num_read} rows read, {kept} kept, "
            f"{counts.num_rejected} rejected, {counts.unknown_labels} left out (span {counts.span})"
        )
    empty = sorted(source for source, number in counts.read.items() if number == 0)
    if empty:
        return f"every source must have a row. Received: none from {', '.join(empty)} (span {counts.span})"
    if num_read < ingestion.min_impressions:
        return (
            f"a span must have at least {ingestion.min_impressions} impressions (ingestion.min_impressions). "
            f"Received: {num_read} (span {counts.span})"
        )
    for source, by_reason in sorted(counts.rejected.items(), key=lambda item: (item[0] != IMPRESSIONS, item[0])):
        number, of = sum(by_reason.values()), counts.read[source]
        if number > max_rejected_fraction * of:
            reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(by_reason.items()))
            return (
                f"at most {max_rejected_fraction:.2%} of `{source}` may be rejected "
                f"(ingestion.max_rejected_fraction). Received: {number} of {of} ({number / of:.2%}; {reasons})"
            )
    if counts.unknown_labels and not sum(kept.values()):
        return (
            "a span must be longer than `sources.installs.attribution_seconds`, within which the last labels are not "
            f"known yet (sources.installs.leave_out_unknown_labels). Received: {counts.unknown_labels} impressions, "
            f"all of them within it (span {counts.span})"
        )
    for split in ("train", "eval"):
        by_label = counts.labels.get(split, {})
        if len(by_label) < 2:
            return (
                f"the {split} split must have both labels, 0 and 1. Received: {by_label or 'no row'} "
                f"(span {counts.span})"
            )
    return ""


def counts_from_pairs(pairs: Iterable[tuple[CountKey, int]], span: int) -> Counts:
    """Builds Counts from the sums by key."""
    found, unusable = Counts(span), []
    totals = dict.fromkeys(("unknown_label", "not_shown", "moved"), 0)
    lines: dict[str, dict[str, int]] = {}
    for key, number in sorted(pairs):
        match key:
            case ("read", source):
                found.read[source] = number
            case ("rejected", source, reason):
                found.rejected.setdefault(source, {})[reason] = number
            case ("lines", source, field):
                lines.setdefault(source, {})[field] = number
            case ("label", split, label, _):
                by_label = found.labels.setdefault(split, {})
                by_label[label] = by_label.get(label, 0) + number
            case ("install" | "unmatched_rejected", _):
                pass  # used in the evidence only
            case ("after_end", source):
                found.after_end[source] = number
            case ("unknown_label" | "not_shown" | "moved" as name,):
                totals[name] = number
            case ("event", outcome):
                found.events[outcome] = number
            case ("unmatched", table):
                found.unmatched[table] = number
            case ("unusable", sentence):
                unusable.append(sentence)
            case _:
                raise ValueError(f"unknown count: {key}")
    return dataclasses.replace(
        found,
        lines={source: LineCounts(**fields) for source, fields in lines.items()},
        unusable_files=tuple(unusable),
        unknown_labels=totals["unknown_label"],
        not_shown=totals["not_shown"],
        moved=totals["moved"],
    )
