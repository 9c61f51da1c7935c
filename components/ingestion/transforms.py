"""Ingestion in Beam: an impression's way from a log's row to an example.

1. `ReadFiles` parses the files of all sources. It rejects rows that break a rule, and writes the others as parts. Of
   served rankings it reads the log last: `BuildLookups` indexes the events first, which say what was shown.
2. `FindRepeated` finds the impressions whose id an earlier one has. `BuildLookups` indexes the tables and the installs
   by their keys.
3. `JoinPartition` rejects these impressions and those that a table must have and has not, finds each other impression's
   row in each table, and labels it.
4. `SplitPartition` leaves out the impressions whose labels are not known by the end of the logs (`EndOfLog`), and
   splits the others; `count_after_end` counts the rows long after the end. A split by time is taken from the times of
   those that are left: from the last one (`KnownTimes`), or from how many have each time (`CountTimes`). With
   `late_labels`, `WriteOpen` and `WriteForTheNextSpan` write the span's tail.
5. `ShareLabels` finds the training impressions that can share their label with an evaluation impression.
6. `ShufflePart` hands each impression to a shard of its split; `WriteShard` serializes and writes a shard's examples.

Each stage's counts and rejected rows are collected; `WriteRejected` writes the latter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.pvalue import AsDict, AsList, AsSingleton

from components.ingestion.formats.files import is_gzip
from components.ingestion.layout import Layout
from components.ingestion.stages.join import JoinPartition, count_events, count_installs, unite_installs
from components.ingestion.stages.keys import BuildLookups, FindRepeated, ShareLabels
from components.ingestion.stages.read import ReadFiles
from components.ingestion.stages.span_end import EndOfLog, count_after_end
from components.ingestion.stages.split import CountTimes, CutOfFraction, KnownTimes, SplitPartition
from components.ingestion.stages.tail import WriteForTheNextSpan, WriteOpen
from components.ingestion.stages.task import (
    COUNTED,
    EVIDENCE,
    INSTALL_LOG,
    INSTALLS,
    LOCATIONS,
    OPEN,
    OUTCOMES,
    REJECTED,
    TIMES,
    Order,
    Partition,
    Task,
)
from components.ingestion.stages.write import ShufflePart, WriteRejected, WriteShard
from transform.config.component_settings import IngestionSettings
from transform.config.serving_log import SERVING_LOG
from transform.feature import IMPRESSIONS

#: Bytes of log files whose keys meet in one bucket: some 700,000 rows. Keys in larger hash tables cost more each, as
#: fewer of the tables' places are in the processor's cache.
_KEY_BUCKET_BYTES = 64 << 20

#: Bytes of log files per shard of the examples: some 120,000 rows.
SHARD_BYTES = 8 << 20

#: How many times more rows a compressed file has than a text file of its size.
_COMPRESSION = 8


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where ingestion writes.

    Attributes:
      train: The folder of the examples for training.
      eval: The folder of the examples for evaluation.
      rejected: The file of the rejected rows.
      snapshots: The folder of each table that a snapshot is kept of.
      tail: The folder of the tail; written with `late_labels` only.
    """

    train: str
    eval: str
    rejected: str
    snapshots: Mapping[str, str]
    tail: str = ""


def make_task(
    config: IngestionSettings, files: Mapping[str, Mapping[str, tuple[str, ...]]], span: int, folder: str
) -> Task:
    """Returns the task of a span; its numbers of buckets and shards depend on the sizes of the logs only.

    Args:
      config: The config.
      files: The sorted paths by source, then by split.
      span: The span's number.
      folder: The scratch folder.
    """
    num_bytes = sum(_text_bytes(path, config) for paths in files[IMPRESSIONS].values() for path in paths)
    return Task(config, span, folder, -(-num_bytes // _KEY_BUCKET_BYTES) or 1, -(-num_bytes // SHARD_BYTES) or 1)


def ranked(files: Mapping[str, Mapping[str, tuple[str, ...]]]) -> list[tuple[str, str, int, str]]:
    """Returns (source, split, the file's rank among those of the source, path) of each file, for `ReadFiles`."""
    return [
        (name, split, rank, path)
        for name, by_split in files.items()
        for rank, (path, split) in enumerate(
            sorted((path, split) for split, paths in by_split.items() for path in paths)
        )
    ]


def _text_bytes(path: str, config: IngestionSettings) -> int:
    length: int = tf.io.gfile.stat(path).length
    is_compressed = is_gzip(path) or config.sources.impressions.format in ("parquet", SERVING_LOG)
    return length * _COMPRESSION if is_compressed else length


class IngestImpressions(beam.PTransform):  # type: ignore[misc]
    """The whole ingestion: from every source's files to the examples, the quarantine and the snapshots of tables.

    Returns a dict of PCollections: `counted` ((CountKey, number)) and `evidence` (FilePart).
    """

    def __init__(self, task: Task, files: Mapping[str, Mapping[str, tuple[str, ...]]], outputs: Outputs):
        super().__init__()
        self._task, self._outputs = task, outputs
        self._layout = Layout(task.config)
        self._files = ranked(files)

    def expand(self, root: Any) -> dict[str, Any]:
        task, config = self._task, self._task.config
        is_served = config.sources.are_served
        others = [file for file in self._files if file[0] != IMPRESSIONS]
        read = self._read(root, "Read", others if is_served else self._files)
        rejected, counted, evidence = [read[REJECTED]], [read[COUNTED]], [read[EVIDENCE]]
        lookups = self._lookups(root, read["parts"])
        rejected.append(lookups[REJECTED])
        counted.append(lookups[COUNTED])
        paths = AsDict(lookups["paths"])
        log_read = read
        if is_served:  # which of its rows are impressions, the events say
            log_read = self._read(root, "ReadServed", [file for file in self._files if file[0] == IMPRESSIONS], paths)
            rejected.append(log_read[REJECTED])
            counted.append(log_read[COUNTED])
            evidence.append(log_read[EVIDENCE])
            of_parts = AsList(log_read[OUTCOMES])
            counted.append(lookups["paths"] | "CountEvents" >> beam.FlatMap(count_events, of_parts))

        impressions = log_read["parts"] | "OfLog" >> beam.Filter(_is_of_log)
        ids = log_read[LOCATIONS] | "GroupIds" >> beam.GroupByKey()
        repeated = ids | "FindRepeated" >> beam.ParDo(FindRepeated(is_served))
        log = tuple(path for name, _, _, path in self._files if name == IMPRESSIONS)
        joined = (
            {"part": impressions | "OrderOfPart" >> beam.Map(_by_order), "repeated": repeated}
            | "GroupParts" >> beam.CoGroupByKey()
            | "Join"
            >> beam.ParDo(JoinPartition(task, log), paths).with_outputs(
                REJECTED, COUNTED, TIMES, INSTALLS, main="parts"
            )
        )
        rejected.append(joined[REJECTED])
        counted.append(joined[COUNTED])
        if config.sources.installs is not None:
            found = joined[INSTALLS] | "FoundInstalls" >> beam.CombineGlobally(unite_installs).as_singleton_view()
            counted.append(lookups["paths"] | "CountInstalls" >> beam.FlatMap(count_installs, found))
        ends = (
            joined[TIMES] | "EndOfImpressions" >> beam.CombineGlobally(EndOfLog()).as_singleton_view(),
            read[TIMES] | "EndOfInstalls" >> beam.CombineGlobally(EndOfLog()).as_singleton_view(),
        )
        if config.sources.installs is not None:
            seconds = config.sources.installs.attribution_seconds
            for source, times in ((IMPRESSIONS, joined[TIMES]), (INSTALL_LOG, read[TIMES])):
                counted.append(times | f"AfterEnd-{source}" >> beam.FlatMap(count_after_end, source, seconds, *ends))
        split = self._split(joined, ends)
        counted.append(split[COUNTED])
        self._write(root, split, paths)
        if config.sources.has_late_labels:
            self._write_tail(root, split, paths, ends)
        rejected = rejected | "Rejected" >> beam.Flatten()
        _ = (
            root
            | "RejectedPath" >> beam.Create([self._outputs.rejected])
            | "WriteRejected" >> beam.ParDo(WriteRejected(), AsList(rejected))
        )
        return {"counted": counted | "Counted" >> beam.Flatten(), "evidence": evidence | "Evidence" >> beam.Flatten()}

    def _read(self, root: Any, name: str, files: list[tuple[str, str, int, str]], *lookups: Any) -> Any:
        return (
            root
            | f"{name}Files" >> beam.Create(files)  # it reshuffles, so that each worker reads some
            | name
            >> beam.ParDo(ReadFiles(self._task), *lookups).with_outputs(
                REJECTED, COUNTED, EVIDENCE, LOCATIONS, TIMES, OUTCOMES, main="parts"
            )
        )

    def _lookups(self, root: Any, partitions: Any) -> Any:
        config = self._task.config
        names = [name for name in (*config.sources.tables, INSTALL_LOG) if any(name == of for of, *_ in self._files)]
        others = partitions | "OfOthers" >> beam.Filter(lambda partition: partition.source != IMPRESSIONS)
        return (
            root
            | "Names" >> beam.Create(names)
            | "Build"
            >> beam.ParDo(BuildLookups(self._task, self._outputs.snapshots), AsList(others)).with_outputs(
                REJECTED, COUNTED, main="paths"
            )
        )

    def _split(self, joined: Any, ends: tuple[Any, Any]) -> Any:
        task, rule = self._task, self._task.config.ingestion
        cut: Any = 0.0
        if self._layout.split is not None and rule.split_by == "time":
            known = joined["parts"] | "KnownTimes" >> beam.ParDo(KnownTimes(task), *ends)
            latest = known | "Latest" >> beam.CombineGlobally(EndOfLog())
            cut = AsSingleton(latest | "Cut" >> beam.Map(lambda time: time - rule.eval_seconds))
        elif self._layout.split is not None and rule.split_by == "time_fraction":
            find = CutOfFraction(rule.eval_fraction)
            minutes = joined["parts"] | "CountMinutes" >> beam.ParDo(CountTimes(task), *ends)
            minute = minutes | "CutByMinutes" >> beam.CombineGlobally(find).as_singleton_view()
            times = joined["parts"] | "CountTimes" >> beam.ParDo(CountTimes(task), *ends, minute)
            cut = times | "CutByTimes" >> beam.CombineGlobally(find).as_singleton_view()
        return joined["parts"] | "Split" >> beam.ParDo(SplitPartition(task), *ends, cut).with_outputs(
            COUNTED, LOCATIONS, OPEN, main="parts"
        )

    def _write(self, root: Any, split: Any, paths: Any) -> None:
        task, installs = self._task, self._task.config.sources.installs
        seconds = 0.0 if installs is None else installs.attribution_seconds + installs.clock_skew_seconds
        marked = (
            split[LOCATIONS] | "GroupLabels" >> beam.GroupByKey() | "ShareLabels" >> beam.ParDo(ShareLabels(seconds))
        )
        locations = (
            {"part": split["parts"] | "OrderOfSplit" >> beam.Map(_by_order), "marked": marked}
            | "GroupSplit" >> beam.CoGroupByKey()
            | "Shuffle" >> beam.ParDo(ShufflePart(task))
        )
        # Every shard is written, also one without rows.
        numbers = [(shard, None) for shard in range(2 * task.num_shards)]
        shards = root | "Shards" >> beam.Create(numbers, reshuffle=False)
        _ = (
            {"places": locations, "all": shards}
            | "GroupShards" >> beam.CoGroupByKey()
            | "Write" >> beam.ParDo(WriteShard(task, (self._outputs.train, self._outputs.eval)), paths)
        )

    def _write_tail(self, root: Any, split: Any, paths: Any, ends: tuple[Any, Any]) -> None:
        task, folder = self._task, self._outputs.tail
        _ = split[OPEN] | "WriteOpen" >> beam.ParDo(WriteOpen(task, folder), paths)
        _ = (
            root
            | "Tail" >> beam.Create([folder])
            | "WriteForTheNextSpan" >> beam.ParDo(WriteForTheNextSpan(task), paths, *ends, AsList(split["parts"]))
        )


def _is_of_log(partition: Partition) -> bool:
    return partition.source == IMPRESSIONS


def _by_order(partition: Partition) -> tuple[Order, Partition]:
    return partition.order, partition
