"""Completion of random tails, compared with plain Python, and what it reads."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from components.ingestion import tail
from components.late_labels.completion import Completion, counts_of_shard, next_span
from transform.config.sources import Installs

WINDOW, SKEW = 10.0, 2.0
RULE = Installs(
    path="installs.csv", format="csv", attribution_seconds=WINDOW, clock_skew_seconds=SKEW, late_labels=True
)


class Event(NamedTuple):
    """An impression or an install: its key, its time and, of an impression of the tail, its label so far."""

    key: str
    time: float
    label: int = 0


# Whole numbers of seconds, so that events are often exactly at the ends of intervals.
EVENT = st.builds(Event, st.sampled_from("abc"), st.integers(0, 40).map(float), st.integers(0, 1))
EVENTS = st.lists(EVENT, max_size=12)


def written(folder: Path, name: str, events: list[Event], end: float) -> None:
    keys, times = pa.array([e.key for e in events], pa.large_string()), pa.array([e.time for e in events], pa.float64())
    tail.write_times(str(folder / name), keys, times, end)


def shard_of(shown: list[Event]) -> pa.Table:
    return pa.table({
        "key": pa.array([e.key for e in shown], pa.large_string()),
        "shown": pa.array([e.time for e in shown], pa.float64()),
        "label": pa.array([e.label for e in shown], pa.int8()),
        "row": pa.array(range(len(shown)), pa.int64()),
    })  # fmt: skip


def near(one: Event, other: Event, before: float, after: float) -> bool:
    return one.key == other.key and one.time - before <= other.time <= one.time + after


@settings(max_examples=150, deadline=None)
@given(shown=EVENTS, installs=EVENTS, evaluated=EVENTS, end=st.integers(0, 60).map(float))
def test_completion_agrees_with_plain_python(
    tmp_path_factory: pytest.TempPathFactory,
    shown: list[Event],
    installs: list[Event],
    evaluated: list[Event],
    end: float,
) -> None:
    folder = tmp_path_factory.mktemp("tail")
    written(folder, tail.INSTALLS, installs, end)
    written(folder, tail.EVALUATED, evaluated, end)
    rows = shard_of(shown)
    completion = Completion(next_span(str(folder), [np.asarray(rows["shown"])], RULE))
    done = completion.of(rows)

    closed = [at for at, row in enumerate(shown) if row.time + WINDOW <= end]
    labels = [max(shown[at].label, *(near(shown[at], i, SKEW, WINDOW) for i in installs), 0) for at in closed]
    shares = [any(near(shown[at], e, WINDOW + SKEW, WINDOW + SKEW) for e in evaluated) for at in closed]
    assert done["row"].to_pylist() == closed
    assert done["label"].to_pylist() == labels
    assert done["shares_label"].to_pylist() == shares
    counts = counts_of_shard(7, rows, done)
    assert (counts.span, counts.waiting, counts.completed) == (7, len(shown), len(closed))
    assert counts.still_open == len(shown) - len(closed)
    assert counts.positives == sum(labels)
    assert counts.found_late == sum(labels) - sum(shown[at].label for at in closed)


def rows_read(folder: Path, num_seconds: int, shown: list[float]) -> int:
    """Returns the rows read of a next span with an install and an evaluation impression in each second."""
    folder.mkdir()
    events = [Event("a", float(at)) for at in range(num_seconds)]
    written(folder, tail.INSTALLS, events, float(num_seconds))
    written(folder, tail.EVALUATED, events, float(num_seconds))
    return next_span(str(folder), [np.array([time]) for time in shown], RULE).rows_read()


def test_the_rows_read_are_in_proportion_to_the_tail_not_to_the_next_span(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "GROUP_ROWS", 8)
    short = rows_read(tmp_path / "short", 1_000, [0.0, 20.0])
    # Installs to 20 + WINDOW are in 4 groups of 8 rows; evaluation impressions to 20 + WINDOW + SKEW are in 5.
    assert short == 8 * (4 + 5)
    assert rows_read(tmp_path / "long", 10_000, [0.0, 20.0]) == short
    assert rows_read(tmp_path / "twice", 10_000, [0.0, 52.0]) == 8 * (8 + 9)


def test_an_impression_whose_clock_is_years_ahead_widens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "GROUP_ROWS", 8)
    one = rows_read(tmp_path / "one", 1_000, [0.0, 20.0])
    assert rows_read(tmp_path / "ahead", 1_000, [0.0, 20.0, 4e9]) == one
    assert rows_read(tmp_path / "only", 1_000, [4e9]) == 0


def test_row_groups_without_statistics_are_read(tmp_path: Path) -> None:
    path = tmp_path / "installs.parquet"
    rows = pa.table({"key": ["a", "b"], "time": [1.0, 50.0]})
    pq.write_table(rows, path, write_statistics=False)
    assert tail.times_between(str(path), 0.0, 10.0)["key"].to_pylist() == ["a"]


def test_the_name_of_a_folder_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "[eu]" / tail.TAIL
    (folder / tail.OPEN).mkdir(parents=True)
    for order in ((1, 0), (0, 2)):
        tail.write_open(str(folder), order, pa.table({"shown": [1.0]}))
    assert tail.open_shards(str(folder)) == [
        f"{folder}/{tail.OPEN}/00000-00002.parquet",
        f"{folder}/{tail.OPEN}/00001-00000.parquet",
    ]
    assert tail.open_shards(str(tmp_path)) == []
