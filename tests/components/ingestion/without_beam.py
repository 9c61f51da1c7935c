"""Runs ingestion's stages, and the row-by-row ingestion, one function after the other, without a Beam pipeline."""

from __future__ import annotations

import collections
import gzip
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from apache_beam.pvalue import TaggedOutput

from components.ingestion.counts import Counts, counts_from_pairs
from components.ingestion.evidence import Evidence
from components.ingestion.formats.raw_rows import Rejection
from components.ingestion.formats.readers import unit_of
from components.ingestion.sketches import combine_evidence
from components.ingestion.stages.join import JoinPartition, count_installs, unite_installs
from components.ingestion.stages.keys import BuildLookups, FindRepeated, ShareLabels
from components.ingestion.stages.read import ReadFiles
from components.ingestion.stages.span_end import EndOfLog, count_after_end
from components.ingestion.stages.split import CountTimes, CutOfFraction, KnownTimes, SplitPartition
from components.ingestion.stages.task import COUNTED, EVIDENCE, INSTALLS, LOCATIONS, REJECTED, TIMES, Task
from components.ingestion.stages.write import ShufflePart, WriteRejected, WriteShard
from components.ingestion.transforms import ranked
from tests.components.ingestion.row_by_row.examples import Impression, Layout, split_of_key
from tests.components.ingestion.row_by_row.joins import JoinBroadcast, KeepFirst, LabelFromInstalls, marked
from tests.components.ingestion.row_by_row.reading import ReadRows
from tests.components.ingestion.row_by_row.span_end import end_of
from transform.config.config import Config
from transform.config.settings import Ingestion
from transform.feature import IMPRESSIONS

Files = Mapping[str, Mapping[str, tuple[str, ...]]]


class Result(NamedTuple):
    """The result of an ingestion; everything whose order means nothing is sorted."""

    train: list[bytes]
    eval: list[bytes]
    rejected: list[dict[str, Any]]
    counts: Counts
    evidence: Evidence
    snapshots: dict[str, list[bytes]]


class RowByRow(NamedTuple):
    """The result of the row-by-row ingestion, and what it is made from."""

    impressions: list[Impression]
    rejected: list[Rejection]
    counted: list[tuple[tuple[str, ...], int]]
    result: Result


class _Outputs:
    """Runs DoFns and collects their side outputs by tag."""

    def __init__(self) -> None:
        self.tagged: dict[str, list[Any]] = collections.defaultdict(list)

    def run(self, stage: Any, elements: Iterable[Any], *sides: Any) -> list[Any]:
        if hasattr(stage, "setup"):
            stage.setup()
        main = []
        for element in elements:
            for output in stage.process(element, *sides) or ():
                if isinstance(output, TaggedOutput):
                    self.tagged[output.tag].append(output.value)
                else:
                    main.append(output)
        return main

    def sums(self) -> list[tuple[tuple[str, ...], int]]:
        total: collections.Counter[tuple[str, ...]] = collections.Counter()
        for key, number in self.tagged[COUNTED]:
            total[key] += number
        return list(total.items())


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _end(accumulators: Iterable[Any]) -> float:
    combine = EndOfLog()
    return combine.extract_output(combine.merge_accumulators(accumulators))


def _cut(rule: Ingestion, task: Task, outputs: _Outputs, joined: list[Any], ends: tuple[float, float]) -> float:
    """Returns the time after which rows are for evaluation; 0 if they are not split by time."""
    if rule.split_by == "time":
        return _end(outputs.run(KnownTimes(task), joined, *ends)) - rule.eval_seconds
    if rule.split_by != "time_fraction":
        return 0.0
    combine, cuts = CutOfFraction(rule.eval_fraction), list[float]()
    for _ in ("minutes", "times"):
        parts = outputs.run(CountTimes(task), joined, *ends, *cuts)
        accumulators = [combine.add_input(combine.create_accumulator(), part) for part in parts]
        cuts = [combine.extract_output(combine.merge_accumulators(accumulators))]
    return cuts[0]


def records(path: Path) -> list[bytes]:
    """Returns the records of a TFRecord file."""
    data, found, at = gzip.decompress(path.read_bytes()), [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        found.append(data[at + 12 : at + 12 + length])
        at += length + 16
    return found


def in_batches(config: Config, files: Files, out: Path, num_key_buckets: int = 1, num_shards: int = 1) -> Result:
    """Runs the stages of `components.ingestion` with a folder for their files."""
    for name in ("scratch", "train", "eval", *config.sources.tables):
        (out / name).mkdir(parents=True)
    task, outputs = Task(config, 3, str(out / "scratch"), num_key_buckets, num_shards), _Outputs()
    ranked_files = ranked(files)
    parts = outputs.run(ReadFiles(task), ranked_files)
    ids, install_times = outputs.tagged.pop(LOCATIONS, []), outputs.tagged.pop(TIMES, [])
    names = [*config.sources.tables, *(["installs"] if config.sources.installs else [])]
    others = [part for part in parts if part.source != IMPRESSIONS]
    snapshots = {name: str(out / name) for name in config.sources.tables}
    lookups = dict(outputs.run(BuildLookups(task, snapshots), names, others))
    repeated = _grouped(outputs.run(FindRepeated(), _grouped(ids).items()))
    log = tuple(path for name, _, _, path in ranked_files if name == IMPRESSIONS)
    of_log = [
        (part.order, {"part": [part], "repeated": repeated.get(part.order, [])})
        for part in parts
        if part.source == IMPRESSIONS
    ]
    joined = outputs.run(JoinPartition(task, log), of_log, lookups)
    if config.sources.installs is not None:
        found = unite_installs(outputs.tagged.pop(INSTALLS, []))
        outputs.tagged[COUNTED] += [pair for lookup in lookups.items() for pair in count_installs(lookup, found)]
    shown = outputs.tagged.pop(TIMES, [])
    ends = _end(shown), _end(install_times)
    if config.sources.installs is not None:
        for source, times in ((IMPRESSIONS, shown), ("installs", install_times)):
            for of_part in times:
                seconds = config.sources.installs.attribution_seconds
                outputs.tagged[COUNTED] += count_after_end(of_part, source, seconds, *ends)
    split = outputs.run(SplitPartition(task), joined, *ends, _cut(config.ingestion, task, outputs, joined, ends))
    installs = config.sources.installs
    seconds = 0.0 if installs is None else installs.attribution_seconds + installs.clock_skew_seconds
    shared = _grouped(outputs.run(ShareLabels(seconds), _grouped(outputs.tagged.pop(LOCATIONS, [])).items()))
    of_split = [(part.order, {"part": [part], "marked": shared.get(part.order, [])}) for part in split]
    places = _grouped(outputs.run(ShufflePart(task), of_split))
    shards = [(shard, {"places": places.get(shard, [])}) for shard in range(2 * num_shards)]
    outputs.run(WriteShard(task, (str(out / "train"), str(out / "eval"))), shards, lookups)
    outputs.run(WriteRejected(), [str(out / "rejected.gz")], outputs.tagged[REJECTED])
    with gzip.open(out / "rejected.gz", "rt", encoding="ascii") as rows:
        rejected = [json.loads(row) for row in rows]
    return _result(
        {split: [r for file in (out / split).iterdir() for r in records(file)] for split in ("train", "eval")},
        rejected,
        outputs,
        config,
        {name: [r for file in (out / name).iterdir() for r in records(file)] for name in config.sources.tables},
    )


def _result(
    examples: Mapping[str, list[bytes]],
    rejected: list[dict[str, Any]],
    outputs: _Outputs,
    config: Config,
    snapshots: Mapping[str, list[bytes]],
) -> Result:
    return Result(
        sorted(examples["train"]),
        sorted(examples["eval"]),
        sorted(rejected, key=json.dumps),
        counts_from_pairs(outputs.sums(), 3),
        combine_evidence(outputs.tagged[EVIDENCE], outputs.sums(), config, 3),
        {name: sorted(rows) for name, rows in snapshots.items()},
    )


def row_by_row(config: Config, files: Files) -> RowByRow:
    """Runs the ingestion of release 0.2.0, in memory."""
    layout, outputs, log = Layout(config), _Outputs(), config.sources.impressions

    def read(name: str) -> list[Any]:
        pairs = [(split, path) for split, paths in files[name].items() for path in paths]
        return outputs.run(ReadRows(config, name, config.sources.of(name)), pairs)

    def unique(rows: list[Any], name: str, position: int, reason: str, key: str) -> list[Any]:
        keep = KeepFirst(name, reason, key, unit_of(config.sources.of(name).format))
        return outputs.run(keep, _grouped((row[3][position], row) for row in rows).items())

    rows = read(IMPRESSIONS)
    if layout.impression_id is not None:
        at = layout.impression_id
        rows = unique(rows, IMPRESSIONS, at, "duplicate_impression_id", str(log.impression_id))
    label = layout.label
    impressions = [Impression(p, n, s, v, None if label is None else v[label], {}) for s, p, n, v in rows]
    snapshots = {}
    for name, table in config.sources.tables.items():
        (at,) = layout.key_positions(name, [table.key])
        of_table = {row[3][at]: row[3] for row in unique(read(name), name, at, "duplicate_key", table.key)}
        snapshots[name] = [layout.serialized_table_example(name, key, row) for key, row in of_table.items()]
        (log_at,) = layout.key_positions(IMPRESSIONS, [table.log_column])
        impressions = outputs.run(JoinBroadcast(name, table, log_at), impressions, of_table)
    installs, time_at = config.sources.installs, layout.timestamp
    if installs is not None:
        assert time_at is not None
        key_at, at_time = (
            layout.key_positions("installs", installs.keys),
            layout.timestamp_of("installs", installs.timestamp),
        )
        times = [(tuple(row[3][p] for p in key_at), row[3][at_time]) for row in read("installs")]
        shown = _grouped((tuple(i.values[p] for p in layout.label_columns), i) for i in impressions)
        grouped = _grouped(times)
        groups = [(k, {"log": shown.get(k, []), "installs": grouped.get(k, [])}) for k in {**shown, **grouped}]
        ends = end_of([i.values[time_at] for i in impressions]), end_of([time for _, time in times])
        last = max(ends) + installs.attribution_seconds
        of_sources = {IMPRESSIONS: [i.values[time_at] for i in impressions], "installs": [time for _, time in times]}
        for name, of_source in of_sources.items():
            outputs.tagged[COUNTED] += [(("after_end", name), 1) for time in of_source if time // 60 * 60 > last]
        impressions = outputs.run(LabelFromInstalls(installs, time_at), groups)
        if installs.leave_out_unknown_labels:
            known = [i for i in impressions if i.values[time_at] + installs.attribution_seconds <= max(ends)]
            outputs.tagged[COUNTED] += [(("unknown_label",), 1)] * (len(impressions) - len(known))
            impressions = known
    impressions = _split(config, layout, impressions)
    if layout.label_columns:
        seconds = 0.0 if installs is None else installs.attribution_seconds + installs.clock_skew_seconds
        shared = _grouped((tuple(i.values[p] for p in layout.label_columns), i) for i in impressions)
        impressions = [i for group in shared.values() for i in marked(group, time_at if installs else None, seconds)]
    for impression in impressions:
        hour = "" if time_at is None else str(int(impression.values[time_at] // 3600))
        outputs.tagged[COUNTED].append((("label", impression.split, str(impression.label), hour), 1))
    for row in outputs.tagged[REJECTED]:
        outputs.tagged[COUNTED].append((("rejected", row.source, row.reason), 1))
    examples = {
        split: [layout.serialized_example(i, 3) for i in impressions if i.split == split] for split in ("train", "eval")
    }
    rejected = outputs.tagged[REJECTED]
    result = _result(examples, [row._asdict() for row in rejected], outputs, config, snapshots)
    return RowByRow(impressions, rejected, outputs.sums(), result)


def _split(config: Config, layout: Layout, impressions: list[Impression]) -> list[Impression]:
    rule = config.ingestion
    if config.sources.impressions.splits is not None:
        return impressions
    if rule.split_by == "row_hash":
        keys = [f"row/{i.file.split('/')[-1]}:{i.row}" for i in impressions]
        return [i._replace(split=split_of_key(k, rule.eval_fraction)) for i, k in zip(impressions, keys, strict=True)]
    by_time = rule.split_by in ("time", "time_fraction")
    at = layout.timestamp if by_time else layout.request_id if rule.split_by == "request_hash" else layout.impression_id
    assert at is not None
    if rule.split_by == "time_fraction":
        times = sorted((i.values[at] for i in impressions), reverse=True)
        first = times[max(1, round(rule.eval_fraction * len(times))) - 1] if times else 0.0
        return [i._replace(split="eval" if i.values[at] >= first else "train") for i in impressions]
    if by_time:
        latest = end_of(i.values[at] for i in impressions)
        return [i._replace(split="eval" if i.values[at] > latest - rule.eval_seconds else "train") for i in impressions]
    return [i._replace(split=split_of_key(i.values[at], rule.eval_fraction)) for i in impressions]
