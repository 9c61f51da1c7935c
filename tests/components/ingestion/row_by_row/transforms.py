"""Ingestion as release 0.2.0 did it, one row at a time: the oracle of ingestion on batches of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam import pvalue

from components.ingestion.columns.parser import Parser
from components.ingestion.columns.rejections import Rejection, RowError, kept_text
from components.ingestion.counts import LineCounts
from components.ingestion.formats.readers import TEXT_FORMATS, LineTally, read_contents, read_rows, unit_of
from tests.components.ingestion.row_by_row.evidence import FileSketch
from tests.components.ingestion.row_by_row.examples import Impression, Layout, split_of_key
from tests.components.ingestion.row_by_row.joins import (
    COUNTED,
    EVIDENCE,
    REJECTED,
    JoinBroadcast,
    JoinShuffled,
    KeepFirst,
    LabelFromInstalls,
    MarkSharedLabels,
    ReadRow,
)
from tests.components.ingestion.row_by_row.span_end import EndOfLog, LeaveOutUnknown
from transform.config import sources
from transform.config.config import Config
from transform.errors import InputError
from transform.feature import IMPRESSIONS
from transform.ranking import snapshot_tables


class ReadRows(beam.DoFn):  # type: ignore[misc]
    """Reads the files of one source: maps (split, path) to (split, path, row number as in `RawRow`, values)."""

    def __init__(self, config: Config, name: str, source: sources.Source | sources.Impressions):
        self._config = config
        self._name = name
        self._source = source

    def setup(self) -> None:
        source, limits = self._source, self._config.ingestion
        columns = self._config.columns[self._name]
        self._columns = list(dict.fromkeys(name for c in columns for name in c.names))
        self._parser = Parser(columns, source.null_values, source.list_separator, limits)

    def process(self, element: tuple[str, str]) -> Iterator[Any]:
        split, path = element
        number = num_lines = num_multi_line = 0
        tally = LineTally()
        sketch = FileSketch(self._config, self._name)
        try:
            source, limits = self._source, self._config.ingestion
            for raw in read_rows(path, source.format, self._columns, limits, tally, source.text):
                number += 1
                num_lines += raw.num_lines
                num_multi_line += raw.num_lines > 1
                reason, detail = raw.reason, raw.detail
                if raw.values is not None:
                    try:
                        values = self._parser.parse_row(raw.values)
                        sketch.add(values)
                        yield split, path, raw.number, values
                        continue
                    except RowError as error:
                        reason, detail = error.reason, error.detail
                text = raw.text if raw.values is None else repr(dict(raw.values))
                rejection = Rejection(self._name, path, raw.number, reason, kept_text(detail), kept_text(text))
                yield pvalue.TaggedOutput(REJECTED, rejection)
            contents = read_contents(path, self._source.format)
            yield pvalue.TaggedOutput(EVIDENCE, sketch.summary(path, contents.sha256))
            if self._source.format in TEXT_FORMATS:
                lines = LineCounts(contents.num_lines, tally.header, tally.blank, num_lines, num_multi_line)
                lines.check(path)
                for key, count in lines.pairs(self._name):
                    yield pvalue.TaggedOutput(COUNTED, (key, count))
        except InputError as error:
            # The row gate reports it after ingestion; an exception raised inside Beam would lose its message.
            yield pvalue.TaggedOutput(COUNTED, (("unusable", str(error)), 1))
        yield pvalue.TaggedOutput(COUNTED, (("read", self._name), number))


class ReadSource(beam.PTransform):  # type: ignore[misc]
    """Reads all files of a source; outputs rows, rejections, counts and the evidence of each file."""

    def __init__(
        self,
        config: Config,
        name: str,
        source: sources.Source | sources.Impressions,
        files: dict[str, tuple[str, ...]],
    ):
        super().__init__()
        self._config, self._name, self._source = config, name, source
        self._files = [(split, path) for split, paths in files.items() for path in paths]

    def expand(self, root: Any) -> Any:
        return (
            root
            | "Files" >> beam.Create(self._files)
            | "Spread" >> beam.Reshuffle()
            | "Rows"
            >> beam.ParDo(ReadRows(self._config, self._name, self._source)).with_outputs(
                REJECTED, COUNTED, EVIDENCE, main="rows"
            )
        )


class IngestImpressions(beam.PTransform):  # type: ignore[misc]
    """The whole ingestion: from every source's files to labelled impressions with a split.

    Returns a dict of PCollections: `impressions` (Impression with its split and label set), `rejected` (Rejection),
    `counted` ((CountKey, number)), `evidence` (FilePart) and `tables`, a dict of PCollections of (key, values) by the
    name of each of `snapshot_tables`.
    """

    def __init__(self, config: Config, files: dict[str, dict[str, tuple[str, ...]]]):
        super().__init__()
        self._config, self._files = config, files
        self._layout = Layout(config)
        self._rejected: list[Any] = []
        self._counted: list[Any] = []
        self._evidence: list[Any] = []

    def expand(self, root: Any) -> dict[str, Any]:
        config, layout = self._config, self._layout
        log = config.sources.impressions
        rows = self._read(root, IMPRESSIONS, log)
        if layout.impression_id is not None:
            position = layout.impression_id
            rows = self._unique(rows, IMPRESSIONS, log, position, "duplicate_impression_id", str(log.impression_id))
        impressions = rows | "Impressions" >> beam.Map(_impression, layout.label)
        snapshots, kept = {}, snapshot_tables(config)
        for name, table in config.sources.tables.items():
            positions = layout.key_positions(name, [table.key])
            table_rows = self._unique(
                self._read(root, name, table), name, table, positions[0], "duplicate_key", table.key
            ) | f"Key_{name}" >> beam.Map(_keyed_values, positions[0])
            (log_position,) = layout.key_positions(IMPRESSIONS, [table.log_column])
            if name in kept:
                snapshots[name] = table_rows
            if table.broadcast:
                joined = impressions | f"Join_{name}" >> beam.ParDo(
                    JoinBroadcast(name, table, log_position), beam.pvalue.AsDict(table_rows)
                ).with_outputs(REJECTED, COUNTED, main="impressions")
            else:
                joined = (
                    {"log": impressions | f"LogKey_{name}" >> beam.Map(_by_position, log_position), "table": table_rows}
                    | f"Group_{name}" >> beam.CoGroupByKey()
                    | f"Join_{name}"
                    >> beam.ParDo(JoinShuffled(name, table)).with_outputs(REJECTED, COUNTED, main="impressions")
                )
            self._rejected.append(joined[REJECTED])
            self._counted.append(joined[COUNTED])
            impressions = joined["impressions"]
        if config.sources.installs is not None:
            impressions = self._label(root, impressions, config.sources.installs)
        impressions = self._split(impressions)
        if layout.label_columns:
            mark = MarkSharedLabels(config.sources.installs, layout.timestamp)
            impressions = (
                impressions
                | "LabelKey" >> beam.Map(_by_positions, layout.label_columns)
                | "GroupByLabel" >> beam.GroupByKey()
                | "MarkSharedLabels" >> beam.ParDo(mark)
            )
        rejected = self._rejected | "Rejected" >> beam.Flatten()
        self._counted.append(rejected | "CountRejected" >> beam.Map(_rejection_count))
        self._counted.append(impressions | "CountLabels" >> beam.Map(_label_count, layout.timestamp))
        counted = self._counted | "Counted" >> beam.Flatten()
        evidence = self._evidence | "Evidence" >> beam.Flatten()
        return {
            "impressions": impressions,
            "rejected": rejected,
            "counted": counted,
            "evidence": evidence,
            "tables": snapshots,
        }

    def _read(self, root: Any, name: str, source: sources.Source | sources.Impressions) -> Any:
        read = root | f"Read_{name}" >> ReadSource(self._config, name, source, self._files[name])
        self._rejected.append(read[REJECTED])
        self._counted.append(read[COUNTED])
        self._evidence.append(read[EVIDENCE])
        return read["rows"]

    def _unique(
        self,
        rows: Any,
        name: str,
        source: sources.Source | sources.Impressions,
        position: int,
        reason: str,
        key_name: str,
    ) -> Any:
        keep_first = KeepFirst(name, reason, key_name, unit_of(source.format))
        unique = (
            rows
            | f"IdOf_{name}" >> beam.Map(_by_row_key, position)
            | f"GroupIds_{name}" >> beam.GroupByKey()
            | f"KeepFirst_{name}" >> beam.ParDo(keep_first).with_outputs(REJECTED, main="first")
        )
        self._rejected.append(unique[REJECTED])
        return unique["first"]

    def _label(self, root: Any, impressions: Any, installs: sources.Installs) -> Any:
        layout = self._layout
        log_positions = layout.key_positions(IMPRESSIONS, installs.keys)
        positions = layout.key_positions("installs", installs.keys)
        time_position = layout.timestamp_of("installs", installs.timestamp)
        assert layout.timestamp is not None  # the config's validation ensures this
        times = self._read(root, "installs", installs) | "InstallTimes" >> beam.Map(
            _install_time, positions, time_position
        )
        labelled = (
            {"log": impressions | "LogPair" >> beam.Map(_by_positions, log_positions), "installs": times}
            | "GroupPairs" >> beam.CoGroupByKey()
            | "Label"
            >> beam.ParDo(LabelFromInstalls(installs, layout.timestamp)).with_outputs(COUNTED, main="labelled")
        )
        self._counted.append(labelled[COUNTED])
        if not installs.leave_out_unknown_labels:
            return labelled["labelled"]
        end_of_impressions = (
            impressions
            | "ShownAt" >> beam.Map(_time, layout.timestamp)
            | "EndOfImpressions" >> beam.CombineGlobally(EndOfLog())
        )
        end_of_installs = times | "InstalledAt" >> beam.Values() | "EndOfInstalls" >> beam.CombineGlobally(EndOfLog())
        known = labelled["labelled"] | "LeaveOutUnknown" >> beam.ParDo(
            LeaveOutUnknown(installs.attribution_seconds, layout.timestamp),
            beam.pvalue.AsSingleton(end_of_impressions),
            beam.pvalue.AsSingleton(end_of_installs),
        ).with_outputs(COUNTED, main="known")
        self._counted.append(known[COUNTED])
        return known["known"]

    def _split(self, impressions: Any) -> Any:
        rule, layout = self._config.ingestion, self._layout
        if self._config.sources.impressions.splits is not None:
            return impressions
        if rule.split_by == "time":
            latest = (
                impressions
                | "Times" >> beam.Map(_time, layout.timestamp)
                | "Latest" >> beam.CombineGlobally(EndOfLog())
            )
            return impressions | "SplitByTime" >> beam.Map(
                _split_by_time, layout.timestamp, rule.eval_seconds, beam.pvalue.AsSingleton(latest)
            )
        if rule.split_by == "row_hash":
            return impressions | "SplitByPlace" >> beam.Map(_split_by_place, rule.eval_fraction)
        position = layout.request_id if rule.split_by == "request_hash" else layout.impression_id
        return impressions | "SplitByHash" >> beam.Map(_split_by_hash, position, rule.eval_fraction)


def _impression(row: ReadRow, label_position: int | None) -> Impression:
    split, path, number, values = row
    return Impression(path, number, split, values, None if label_position is None else values[label_position], {})


def _by_row_key(row: ReadRow, position: int) -> tuple[str, Any]:
    _, _, _, values = row
    return values[position], row


def _keyed_values(row: ReadRow, position: int) -> tuple[str, tuple[Any, ...]]:
    _, _, _, values = row
    return values[position], values


def _by_position(impression: Impression, position: int) -> tuple[str, Impression]:
    return impression.values[position], impression


def _by_positions(impression: Impression, positions: tuple[int, ...]) -> tuple[tuple[str, ...], Impression]:
    return tuple(impression.values[p] for p in positions), impression


def _time(impression: Impression, position: int) -> float:
    time: float = impression.values[position]
    return time


def _install_time(row: ReadRow, positions: tuple[int, ...], time_position: int) -> tuple[tuple[str, ...], float]:
    _, _, _, values = row
    return tuple(values[p] for p in positions), values[time_position]


def _split_by_time(impression: Impression, position: int, eval_seconds: float, latest: float) -> Impression:
    return impression._replace(split="eval" if impression.values[position] > latest - eval_seconds else "train")


def _split_by_hash(impression: Impression, position: int, eval_fraction: float) -> Impression:
    return impression._replace(split=split_of_key(impression.values[position], eval_fraction))


def _split_by_place(impression: Impression, eval_fraction: float) -> Impression:
    key = f"row/{impression.file.split('/')[-1]}:{impression.row}"
    return impression._replace(split=split_of_key(key, eval_fraction))


def _rejection_count(rejection: Rejection) -> tuple[tuple[str, ...], int]:
    return ("rejected", rejection.source, rejection.reason), 1


def _label_count(impression: Impression, time_position: int | None) -> tuple[tuple[str, ...], int]:
    hour = "" if time_position is None else str(int(impression.values[time_position] // 3600))
    return ("label", impression.split, str(impression.label), hour), 1
