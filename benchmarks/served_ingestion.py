"""Measures ingestion of a served log against Parquet: `python -m benchmarks.served_ingestion [IMPRESSIONS [TIMES]]`.

The same impressions, with the same features and installs, are ingested from what `wdr export-log` writes, and from
Parquet files that have them joined already, but for the installs, by request and item. The log has an event for each
impression that was shown beside those installs; once all candidates were shown, and once ten of fifty. Prints
impressions per second of processor time, the median of the times, of which each ingests both in turn, and their ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.machine import processor_model
from benchmarks.scale_ingestion import in_batches
from components import storage
from components.ingestion.served.exported import EXPORT_RECORD, ExportRecord, record_path
from transform.config.component_configs import for_ingestion
from transform.config.component_settings import IngestionSettings
from transform.config.config_file import load_config

NUM_IMPRESSIONS, TIMES, NUM_CANDIDATES, NUM_ITEMS = 200_000, 5, 50, 5_000

#: The day, 2026-12-01, in seconds since 1970.
DAY = 1_796_083_200

_Floats = npt.NDArray[np.float64]


def config_of(is_served: bool) -> IngestionSettings:
    """Returns the simulated store's config with one log that has all features, and no table."""
    raw = json.loads(for_ingestion(load_config("configs/app_store.yaml")).to_json())
    log = "impressions-*.parquet" if is_served else "plain-*.parquet"
    kind = "serving_log" if is_served else "parquet"
    raw["sources"] = {
        "impressions": {
            "path": f"served/{{YYYY}}-{{MM}}-{{DD}}/{log}",
            "format": kind,
            "impression_id": "impression_id",
            "request_id": "request_id",
            "timestamp": "timestamp",
        },
        "installs": {
            "path": f"served/{{YYYY}}-{{MM}}-{{DD}}/{'events' if is_served else 'installs'}-*.parquet",
            "format": kind,
            "keys": ["request_id", "item_id"],
            "timestamp": "timestamp",
            "late_labels": True,
        },
    }
    for feature in raw["spec"]["features"]:
        feature |= {"source": "impressions", "column": None}
    return IngestionSettings.from_json(json.dumps(raw))


def write_day(folder: Path, num_impressions: int, num_shown: int) -> None:
    """Writes a day's log of requests of `NUM_CANDIDATES`, of which the first `num_shown` are shown, in both forms."""
    draw = np.random.default_rng(1)
    num_requests = num_impressions // num_shown
    number = num_requests * NUM_CANDIDATES
    ids = pa.array([f"{at:043x}" for at in draw.integers(1 << 62, size=num_requests)])
    of_request = np.repeat(np.arange(num_requests), NUM_CANDIDATES)
    items = np.concatenate([draw.choice(NUM_ITEMS, NUM_CANDIDATES, replace=False) for _ in range(num_requests)])
    times = np.sort(draw.uniform(DAY, DAY + 86_000, num_requests))
    is_shown = np.tile(np.arange(NUM_CANDIDATES) < num_shown, num_requests)
    columns: dict[str, Any] = {
        "request_id": ids.dictionary_encode().take(pa.array(of_request)),
        "item_id": pa.array([f"com.store.app{at}" for at in range(NUM_ITEMS)])
        .dictionary_encode()
        .take(pa.array(items)),
        "timestamp": _times(times[of_request]),
    }
    named = {}
    for feature in config_of(True).spec.features:
        is_item = feature.side == "item"
        rows, size = (items, NUM_ITEMS) if is_item else (of_request, num_requests)
        if feature.name == "app_id":
            named[feature.name] = columns["item_id"]
            continue
        values = _values(feature.of_kind.column, size, draw).take(pa.array(rows))
        named[feature.name] = columns[f"{feature.side}.{feature.name}"] = values
    columns["score"] = pa.array(draw.random(number), pa.float32())
    day = folder / "served" / "2026-12-01"
    day.mkdir(parents=True)
    shown = pa.array(is_shown)
    log = pa.table(columns)
    pq.write_table(log, day / "impressions-00-a.parquet", compression="zstd")
    keys = log.select(["request_id", "item_id"]).filter(shown)
    plain = pa.table({"request_id": keys["request_id"], "timestamp": log["timestamp"].filter(shown)})
    plain = plain.append_column("item_id", keys["item_id"])
    ids_of_rows = pc.binary_join_element_wise(
        keys["request_id"].cast(pa.string()), keys["item_id"].cast(pa.string()), "/"
    )
    plain = plain.append_column("impression_id", ids_of_rows)
    for name, column in named.items():
        plain = plain.append_column(name, pa.chunked_array([column.filter(shown)]))
    pq.write_table(plain, day / "plain-00.parquet", compression="zstd")
    shown_times = times[of_request][is_shown]
    is_installed = pa.array(draw.random(len(keys)) < 0.1)
    installs = keys.filter(is_installed).append_column("timestamp", _times(shown_times[np.asarray(is_installed)] + 60))
    pq.write_table(installs, day / "installs-00.parquet", compression="zstd")
    positions = np.tile(np.arange(1.0, num_shown + 1), num_requests)
    events = pa.concat_tables(
        [
            _events(keys, "shown", _times(shown_times + 1), positions),
            _events(installs, "install", installs["timestamp"], np.full(len(installs), np.nan)),
        ]
    )
    pq.write_table(events, day / "events-00-a.parquet", compression="zstd")
    written = [f"2026-12-01/{name}-00-a.parquet" for name in ("impressions", "events")]
    storage.write_text(record_path(str(folder / "served"), "a"), EXPORT_RECORD.to_json(ExportRecord([], written)))


def _times(seconds: _Floats) -> pa.Array:
    return pa.array((seconds * 1e6).astype(np.int64)).cast(pa.timestamp("us", "UTC"))


def _values(kind: str, size: int, draw: np.random.Generator) -> pa.Array:
    if kind == "float":
        return pa.array(draw.random(size), pa.float32())
    if kind == "list":
        return pa.array([[f"com.store.app{at}" for at in of] for of in draw.integers(NUM_ITEMS, size=(size, 8))])
    return pa.array([f"v{at}" for at in draw.integers(50, size=size)]).dictionary_encode()


def _events(keys: pa.Table, kind: str, times: pa.Array, positions: _Floats) -> pa.Table:
    number = len(keys)
    return pa.table(
        {
            "request_id": keys["request_id"].cast(pa.string()),
            "item_id": keys["item_id"].cast(pa.string()),
            "type": pa.array([kind] * number),
            "timestamp": times,
            "position": pa.array(positions, pa.float32()),
            "forged": pa.array(np.zeros(number, bool)),
            "received": times,
        }
    )


def main(num_impressions: int, times: int) -> None:
    """Prints both rates, and their ratio."""
    print(processor_model())
    for num_shown in (NUM_CANDIDATES, 10):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_day(folder, num_impressions, num_shown)
            rates: dict[bool, list[float]] = {True: [], False: []}
            for turn in range(times + 1):
                for is_served in (True, False):
                    measured = in_batches(config_of(is_served), folder, folder / f"out-{turn}-{is_served}")
                    if turn:  # the first imports modules
                        rates[is_served].append(measured.num_examples / measured.seconds)
            served, parquet = (statistics.median(rates[is_served]) for is_served in (True, False))
            ratios = [one / other for one, other in zip(rates[True], rates[False], strict=True)]
            print(
                f"{num_shown} of {NUM_CANDIDATES} shown: {served:,.0f} impressions a processor second of the log, "
                f"{parquet:,.0f} of Parquet: {statistics.median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f})"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("num_impressions", nargs="?", type=int, default=NUM_IMPRESSIONS)
    parser.add_argument("times", nargs="?", type=int, default=TIMES)
    given = parser.parse_args()
    main(given.num_impressions, given.times)
