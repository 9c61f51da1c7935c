"""False alarms of the gate on data: `python -m benchmarks.good_days --rows 4000 --days 250 --stores 4`.

Draws good days of the simulator in memory, and adds variation that its stores lack: weekends with more impressions,
other hours and another share of installs; a growing store; and a baseline whose small errors vary by day. Measures
each day and decides on it as the pipeline does, with the earlier days that passed as references; but with the default
bounds of drift, without the `drift.max_divergence` of configs/app_store.yaml. Prints the stopped days by rule, and
their total share with its 95 % interval.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import hashlib
import heapq
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.data_validation.columns import Columns, read_numbers, read_tokens
from components.data_validation.decision import decide
from components.data_validation.evidence import SpanEvidence
from components.data_validation.label_rules.shares import label_anchor
from components.data_validation.measuring import measure
from components.gate_records import Finding
from components.ingestion.evidence import Evidence, File, InstallEvidence, LabelCount, Log, TableEvidence
from components.ingestion.sketches import NUM_KEYS, NUM_ROWS, QUANTILES, key_hashes, sketch_value
from pipeline.simulator.day import Chunk, impression_chunks
from pipeline.simulator.store import Store
from pipeline.simulator.tables import catalog_table, impressions_table, users_table
from transform.config.config import Config
from transform.config.config_file import load_config
from transform.config.drift import Drift
from transform.feature import IMPRESSIONS

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "app_store.yaml"
_WEEKEND = (2, 3)  # day numbers modulo 7; day 1 is a Thursday, so these are Fridays and Saturdays
_WEEKEND_ROWS, _WEEKEND_LABELS = 1.3, 1.15
_GROWTH_PER_DAY = 0.004


@dataclasses.dataclass(frozen=True)
class Day:
    """A simulated day as tables; a caller may corrupt them before they are measured.

    Attributes:
      number: The day's number, from 1.
      log: The impressions, with their labels.
      users, catalog: The joined tables, by key.
      scores: float64 [n], of the baseline.
      installs: The installs of the day; None if all but one in a hundred rows' follow an impression.
    """

    number: int
    log: pa.Table
    users: pa.Table
    catalog: pa.Table
    scores: np.ndarray
    installs: InstallEvidence | None = None


def days(seed: int, num_rows: int, num_days: int, num_users: int, num_apps: int) -> Iterator[Day]:
    """Yields a store's good days."""
    store = Store(seed, num_users, num_apps)
    rng = np.random.default_rng(seed)
    for number in range(1, num_days + 1):
        is_weekend = number % 7 in _WEEKEND
        rows = num_rows * (1 + _GROWTH_PER_DAY) ** number * (_WEEKEND_ROWS if is_weekend else 1)
        (chunk,) = impression_chunks(store, int(rows * rng.uniform(0.95, 1.05) * 1.25))
        yield good_day(store, chunk, rng, is_weekend)
        store.advance()


def good_day(store: Store, chunk: Chunk, rng: np.random.Generator, is_weekend: bool) -> Day:
    """Returns one day; in four hours, 60 % of the requests are left out, in other hours on weekends."""
    quiet = np.isin(chunk.hour, (11, 12, 13, 14) if is_weekend else (21, 22, 23, 0))
    keep = ~(quiet & (rng.random(chunk.request.max() + 1)[chunk.request] < 0.6))
    logit = np.log(chunk.probability / (1 - chunk.probability)) + (math.log(_WEEKEND_LABELS) if is_weekend else 0)
    label = rng.random(len(logit)) < 1 / (1 + np.exp(-logit))
    scores = 1 / (1 + np.exp(-0.7 * logit - 0.3 * logit.mean() - rng.normal(0, 0.5, len(logit)) - rng.normal(0, 0.05)))
    scores *= label.mean() / scores.mean() * math.exp(rng.normal(0, 0.04))
    log = impressions_table(store, chunk).append_column("label", pa.array(label.astype(np.int64)))
    active = np.unique(chunk.user)
    return Day(store.day, log.filter(pa.array(keep)), users_table(store, active), catalog_table(store), scores[keep])


def combine_evidence(day: Day, config: Config, columns: Columns | None = None) -> SpanEvidence:
    """Measures a day as the pipeline does; `columns` are those of `columns_of`, where they are known."""
    sources, tables = {"users": day.users, "catalog": day.catalog}, {}
    places = _places(day, config)
    for name, table in sources.items():
        key = config.sources.tables[name].key
        features = config.features_of(name)
        rows = zip(*(table[f.source_column].to_pylist() for f in features), strict=True)
        by_key = dict(zip(key_hashes(table[key].to_pylist()).tolist(), rows, strict=True))
        tables[name] = TableEvidence(
            matched=len(day.log) - places[name].null_count,
            unmatched=places[name].null_count,
            columns=tuple(f.name for f in features),
            keys={
                k: tuple(sketch_value(_parsed(v, not f.has_ids)) for v, f in zip(by_key[k], features, strict=True))
                for k in heapq.nsmallest(NUM_KEYS, by_key)
            },
        )
    label, time = np.asarray(day.log["label"]), np.asarray(day.log["timestamp"])
    texts = [day.log[c].to_pylist() for c in ("user_id", "app_id", "page", "hour")]
    rows = zip(*texts, (time % 86_400).tolist(), strict=True)
    sketch = tuple(heapq.nsmallest(NUM_ROWS, set(key_hashes(map(repr, rows)).tolist())))
    ingested = Evidence(
        span=day.number,
        files=tuple(
            File(name, name, _digest(table), len(table)) for name, table in {IMPRESSIONS: day.log, **sources}.items()
        ),
        logs={IMPRESSIONS: Log(sketch, tuple(np.quantile(time, QUANTILES).tolist()))},
        tables=tables,
        installs=day.installs or InstallEvidence(attributed=int(label.sum()), without_impression=len(label) // 100),
        labels=LabelCount(int((1 - label).sum()), int(label.sum())),
        labels_by_hour={
            hour: LabelCount(int((1 - label[time // 3600 == hour]).sum()), int(label[time // 3600 == hour].sum()))
            for hour in np.unique(time // 3600).tolist()
        },
    )
    return measure(columns or columns_of(day, config), day.scores, ingested, config)


def columns_of(day: Day, config: Config) -> Columns:
    """Joins the log of a day with its tables."""
    sources, places = {"users": day.users, "catalog": day.catalog}, _places(day, config)
    columns = {
        f.name: (day.log if f.source == IMPRESSIONS else sources[f.source].take(places[f.source]))[f.source_column]
        for f in config.spec.features
    }
    return Columns(
        label=np.asarray(day.log["label"]),
        request=read_tokens(day.log["request_id"]).codes,
        tokens={f.name: read_tokens(columns[f.name]) for f in config.spec.features if f.has_ids},
        numbers={f.name: read_numbers(columns[f.name]) for f in config.spec.features if not f.has_ids},
    )


def _places(day: Day, config: Config) -> dict[str, pa.Array]:
    """Returns, for each table, the row that an impression is joined with; null without one."""
    places = {}
    for name, table in {"users": day.users, "catalog": day.catalog}.items():
        key = config.sources.tables[name].key
        at = {text: place for place, text in enumerate(table[key].to_pylist())}
        places[name] = pa.array([at.get(text) for text in day.log[key].to_pylist()], pa.int64())
    return places


def _digest(table: pa.Table) -> str:
    """Returns a checksum of a table's contents."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _parsed(value: object, is_numeric: bool) -> object:
    """Returns a value as ingestion parses it."""
    if is_numeric and value is not None:
        return float(value)  # type: ignore[arg-type]
    return tuple(value) if isinstance(value, list) else value


def stops(evidence: list[SpanEvidence], settings: Drift) -> list[list[Finding]]:
    """Returns, by day, the findings that stopped it, if any; a stopped day is no reference for later ones."""
    let_through: list[SpanEvidence] = []
    found = []
    for measured in evidence:
        current = dataclasses.replace(measured, label_anchor=label_anchor(measured, let_through, settings))
        stopped = [f for f in decide(current, let_through, settings) if f.severity == "stop"]
        found.append(stopped)
        if not stopped:
            let_through.append(current)
    return found


def _wilson(number: int, of: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share (Wilson, 1927): 0 of 500 is at most 0.76 %."""
    z2 = 1.96**2
    middle, half = number + z2 / 2, 1.96 * math.sqrt(number * (of - number) / of + z2 / 4)
    return max(middle - half, 0.0) / (of + z2), (middle + half) / (of + z2)


def main() -> None:
    """Prints the stopped days, and their number by rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--days", type=int, default=250)
    parser.add_argument("--stores", type=int, default=4)
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--apps", type=int, default=1000)
    options = parser.parse_args()
    config = load_config(CONFIG)
    settings = dataclasses.replace(config.drift, max_divergence={})
    start, total, by_rule = time.perf_counter(), 0, collections.Counter[str]()
    for seed in range(1, options.stores + 1):
        measured = [
            combine_evidence(day, config) for day in days(seed, options.rows, options.days, options.users, options.apps)
        ]
        for number, stopped in enumerate(stops(measured, settings), 1):
            total += bool(stopped)
            for finding in stopped:
                by_rule[f"{finding.rule} {finding.subject}"] += 1
                print(f"store {seed}, day {number}: {finding.sentence}", flush=True)
    num_days = options.days * options.stores
    low, high = _wilson(total, num_days)
    for rule, number in by_rule.most_common():
        print(f"{number:6,} {rule}")
    print(
        f"{total} of {num_days:,} good days of {options.rows:,} rows stopped: {total / num_days:.2%}, "
        f"95 % interval {low:.2%} to {high:.2%} ({time.perf_counter() - start:.0f} s)"
    )


if __name__ == "__main__":
    main()
