"""Benchmarks of new versions under load and of a killed server: their computations by hand, and short forms."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from benchmarks import restart, swaps
from benchmarks.swaps import split, swaps_of
from components.push.warmup import write_warmup
from tests.serving.model_server.tiny_models import write_manifest
from tests.serving.ranking_client.tiny_model import CATALOG, export_tiny


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with `rank`, warm-up requests and the checksums of its files."""
    folder = tmp_path_factory.mktemp("tiny")
    export_tiny(folder)
    write_warmup(str(folder / "1"), "tiny", [_example(app_id) for app_id in list(CATALOG)[:50]], "app_id")
    write_manifest(folder / "1")
    return folder / "1"


def _example(app_id: str) -> bytes:
    features = {
        "app_id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[app_id.encode()])),
        "age": tf.train.Feature(float_list=tf.train.FloatList(value=[30.0])),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def test_a_swap_is_from_the_push_until_the_old_version_is_dropped() -> None:
    log = [
        {"message": "a version serves", "version": 2, "time": "1970-01-01T00:00:11+00:00"},
        {"message": "a version was dropped", "version": 1, "time": "1970-01-01T00:00:12+00:00"},
        {"message": "a version serves", "version": 3, "time": "1970-01-01T00:00:21+00:00"},
    ]
    assert swaps_of({2: 10.0, 3: 20.0}, log) == [(10.0, 12.0), (20.0, math.inf)]


def test_a_skipped_version_is_replaced_when_the_next_one_is_dropped() -> None:
    log = [
        {"message": "a version was dropped", "version": 1, "time": "1970-01-01T00:00:12+00:00"},
        {"message": "a version was dropped", "version": 3, "time": "1970-01-01T00:00:32+00:00"},
    ]
    assert swaps_of({2: 10.0, 3: 20.0, 4: 30.0}, log) == [(10.0, 12.0), (20.0, 32.0), (30.0, 32.0)]


def test_a_swap_that_has_not_ended_lasts_to_the_end() -> None:
    latencies = [(0.5, 10.0), (1.5, 20.0), (2.5, 30.0), (3.5, 40.0)]
    assert split(latencies, [(1.0, 2.0), (3.0, math.inf)]) == ([20.0, 40.0], [10.0, 30.0])


def test_requests_on_their_way_during_a_swap() -> None:
    """Requests scheduled before, within and after the swap from 1 to 2; the second one is answered within it."""
    latencies = [(0.0, 900.0), (0.5, 600.0), (1.5, 10.0), (2.0, 20.0), (2.1, 30.0)]
    assert split(latencies, [(1.0, 2.0)]) == ([600.0, 10.0, 20.0], [900.0, 30.0])


def swapped(version: Path, pace: int) -> swaps.Report:
    """Measures pushes, 1.5 s times the pace apart; no request may fail, nor be answered by an older version."""
    report = swaps.measure(
        version, seconds=6 * pace, every=1.5 * pace, rate=40, num_candidates=20, deadline_seconds=30.0
    )
    assert (report.errors, report.num_older) == ({}, 0)
    assert report.num_requests == len(report.during) + len(report.between) == 240 * pace
    return report


@pytest.mark.slow
def test_swaps_in_short(version: Path) -> None:
    """No request fails, and no response is of an older version than one before; times are left to the benchmark."""
    report = swapped(version, pace=1)
    # On a busy machine, a swap takes longer than the time between two pushes.
    if report.num_versions < 3 or len(report.swaps) < 2:
        report = swapped(version, pace=10)
    assert report.num_versions >= 3
    assert len(report.swaps) >= 2


@pytest.mark.slow
def test_a_killed_server_comes_back(version: Path) -> None:
    report = restart.measure(version, num_candidates=20, num_requests=30, load_seconds=1.0)
    assert report.num_answered > 0
    assert report.first > 0
    assert len(report.following) == 29


def test_a_version_without_requests_is_told(version: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(version, tmp_path / "1", ignore=shutil.ignore_patterns("assets.extra"))
    with pytest.raises(ValueError, match="must be readable"):
        swaps.measure(bare, seconds=1, every=1, rate=1, num_candidates=1)
