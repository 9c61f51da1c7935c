"""The loop of a store that learns from what it has served: two small days, through all servers and the pipeline."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.ingestion.served.exported import export_records
from tests.e2e import store


@pytest.mark.slow
def test_each_day_is_served_by_the_model_of_the_day_before(tmp_path: Path) -> None:
    sizes = ["--impressions-per-day", "2000", "--users", "1000", "--apps", "300", "--last-days", "1"]
    out = store.wdr_ok("simulate-loop", store.CONFIG, "--out", tmp_path / "loop", "--days", "2", *sizes)
    number = r"[+-]?\d+\.\d{4}"
    figures = (
        rf"({number}) installs expected per request, ({number}) by the first version; difference ({number}), "
        rf"95 % interval {number} to {number}"
    )
    second, third, last = out.splitlines()
    found = re.fullmatch(rf"seed 1, day 2, version 1: {figures}; pushed version 2", second)
    assert found is not None, second
    # The day is served by the first version: only exploration tells its orders from the first version's.
    assert float(found[3]) == pytest.approx(0, abs=0.01)
    assert re.fullmatch(rf"seed 1, day 3, version 2: {figures}; pushed version 3", third), third
    assert re.fullmatch(rf"last 1 days of 1 stores: {figures}", last), last
    folder = tmp_path / "loop" / "seed-1"
    assert store.versions(folder / "workspace", store.NAME) == [1, 2, 3]
    for day in (2, 3):
        rows = pq.read_table(folder / "data" / "truth" / "candidates" / f"day-{day}.parquet").to_pandas()
        (record,) = export_records(str(folder / "data" / "served" / f"day-{day}"))
        installs = int(rows.is_installed.sum())
        assert (record.num_requests, record.num_candidates, record.num_events) == (200, 10_000, 2_000 + installs)
        assert not record.skipped
        paths = sorted((folder / "data" / "served" / f"day-{day}").glob("*/impressions-*.parquet"))
        exported = pq.ParquetDataset([str(path) for path in paths]).read().to_pandas()
        assert set(exported.version) == {day - 1}
        assert set(exported.policy.astype(str)) == {"swap"}
        swapped = exported[exported.propensity < 0.5]
        assert swapped.propensity.to_numpy() == pytest.approx(0.05 / 9, rel=1e-5)
        assert set(swapped["rank"]) <= set(range(1, 11))
