"""The joins, the labels and the splits of the row-by-row ingestion, which the one on batches must equal."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.ingestion.counts import counts_from_pairs
from components.ingestion.spans import resolve_span
from components.ingestion.stages.span_end import EndOfLog, count_minutes
from tests.components.ingestion.expected import label_of, split_of
from tests.components.ingestion.logs import CATALOG, GOOD, IMPRESSIONS, impression, store_config, write_store
from tests.components.ingestion.row_by_row.examples import Impression
from tests.components.ingestion.row_by_row.joins import LabelFromInstalls, marked
from tests.components.ingestion.without_beam import RowByRow, in_batches, row_by_row
from transform.config.config import Config
from transform.config.sources import Installs


def ingest(config: Config, folder: Path, **replaced: Any) -> RowByRow:
    """Runs the row-by-row ingestion on the small store; the one on batches gives the same."""
    data = folder / "data"
    write_store(data, "jsonl", **replaced)
    files = resolve_span(config, str(data)).files
    found = row_by_row(config, files)
    assert in_batches(config, files, folder / "out") == found.result
    return found


def by_id(found: RowByRow) -> dict[str, Impression]:
    return {row.values[0]: row for row in found.impressions}


@pytest.mark.parametrize("broadcast", [True, False], ids=["broadcast", "shuffled"])
def test_a_join_keeps_an_impression_without_a_match(tmp_path: Path, broadcast: bool) -> None:
    out = ingest(store_config("jsonl", broadcast=broadcast), tmp_path)
    found = by_id(out)
    assert len(out.impressions) == len(found) == GOOD
    for row in IMPRESSIONS[:GOOD]:
        joined = found[row["impression"]].joined
        # The first of the two rows of a1 in the catalog is joined.
        match = next((c for c in CATALOG if c["app"] == row["app"]), None)
        assert joined["catalog"] == (match and (match["app"], match["price"], match["title"]))
        assert (joined["users"] is None) == (row["user"] == "u3")
        assert found[row["impression"]].label == label_of(row)
        assert found[row["impression"]].split == split_of(row["request"])
    assert {found[row["impression"]].label for row in IMPRESSIONS[:GOOD]} == {0, 1}


@pytest.mark.parametrize("broadcast", [True, False], ids=["broadcast", "shuffled"])
def test_a_join_can_reject_an_impression_without_a_match(tmp_path: Path, broadcast: bool) -> None:
    out = ingest(store_config("jsonl", broadcast=broadcast, reject=True), tmp_path)
    unmatched = {r["impression"] for r in IMPRESSIONS[:GOOD] if r["app"] in ("a3", "a4") or r["user"] == "u3"}
    assert set(by_id(out)) == {r["impression"] for r in IMPRESSIONS[:GOOD]} - unmatched
    rejected = [r for r in out.rejected if r[3] == "unmatched_key"]
    assert len(rejected) == len(unmatched)
    assert {(r[4].split(".")[0]) for r in rejected} == {
        "`app` must be a key of the table `catalog`",
        "`user` must be a key of the table `users`",
    }
    assert not [key for (key, *_), _ in out.counted if key == "unmatched"]


def test_of_two_rows_with_an_id_the_first_in_the_files_order_is_kept(tmp_path: Path) -> None:
    rows = [impression(i, "u0", "a0", 1000.0, page=f"page{i}") for i in range(30)]
    twice = [impression(i, "u0", "a0", 1000.0, page="again") for i in (5, 5, 25)]
    out = ingest(store_config("jsonl"), tmp_path, impressions=[*rows, *twice])
    assert {key: row.values[5] for key, row in by_id(out).items()} == {f"i{i}": f"page{i}" for i in range(30)}
    duplicates = [
        (r[2], r[4].split(";")[1]) for r in sorted(out.rejected, key=lambda r: r[2]) if r[3] != "duplicate_key"
    ]
    first = f" first in line {{}} of {tmp_path}/data/impressions/part-{{}}.jsonl"
    # Row 26 of the log is row 6 of the second file.
    assert duplicates == [(11, first.format(6, 0)), (12, first.format(6, 0)), (13, first.format(6, 1))]


def test_a_request_never_straddles_the_hash_split(tmp_path: Path) -> None:
    rows = [impression(i, "u0", "a0", 1000.0, request=f"r{i % 40}") for i in range(200)]
    out = ingest(store_config("jsonl"), tmp_path, impressions=rows)
    splits: dict[str, set[str]] = {}
    for row in by_id(out).values():
        splits.setdefault(row.values[1], set()).add(row.split)
    assert len(splits) == 40
    assert splits == {request: {split_of(request)} for request in splits}
    assert {split for found in splits.values() for split in found} == {"train", "eval"}


def test_a_split_by_impression_may_part_a_request(tmp_path: Path) -> None:
    rows = [impression(i, "u0", "a0", 1000.0, request="one") for i in range(60)]
    config = store_config("jsonl", ingestion={"split_by": "impression_hash", "eval_fraction": 0.5})
    found = by_id(ingest(config, tmp_path, impressions=rows))
    assert {key: row.split for key, row in found.items()} == {f"i{i}": split_of(f"i{i}") for i in range(60)}
    assert {row.split for row in found.values()} == {"train", "eval"}


def test_a_split_by_time_takes_the_last_part_for_eval(tmp_path: Path) -> None:
    # The latest time is 1390; the last 90 seconds begin after 1300.
    rows = [impression(i, "u0", "a0", 1000.0 + 10 * i) for i in range(GOOD)]
    config = store_config("jsonl", ingestion={"split_by": "time", "eval_seconds": 90})
    found = by_id(ingest(config, tmp_path, impressions=rows))
    assert {key for key, row in found.items() if row.split == "eval"} == {f"i{i}" for i in range(31, GOOD)}
    assert {row.split for row in found.values()} == {"train", "eval"}


def test_a_split_by_a_fraction_of_the_times_never_parts_rows_of_one_time(tmp_path: Path) -> None:
    # Ten rows of each time. 12 of 40 rows are three tenths: the ten of the last time, and all of the time before it.
    assert GOOD == 40
    times = [1000.0, 1030.25, 1030.5, 9000.0]
    rows = [impression(i, "u0", "a0", times[i % 4]) for i in range(GOOD)]
    config = store_config("jsonl", ingestion={"split_by": "time_fraction", "eval_fraction": 0.3})
    found = by_id(ingest(config, tmp_path, impressions=rows))
    assert {key for key, row in found.items() if row.split == "eval"} == {f"i{i}" for i in range(GOOD) if i % 4 > 1}
    assert {row.split for row in found.values()} == {"train", "eval"}


def labels(shown: list[float], installed: list[float], window: float = 100.0) -> list[int | None]:
    """Returns the labels of one user's impressions of one app."""
    installs = Installs(path="i.csv", format="csv", attribution_seconds=window)
    log = [Impression("log", i, "", (at,), None, {}) for i, at in enumerate(shown)]
    groups: dict[str, Any] = {"log": log, "installs": installed}
    found = LabelFromInstalls(installs, 0).process((("u", "a"), groups))
    return [row.label for row in found if isinstance(row, Impression)]


@pytest.mark.parametrize(
    ("shown", "installed", "expected"),
    [
        ([1000.0], [], [0]),
        ([1000.0], [1000.0], [1]),  # the window includes both of its ends
        ([1000.0], [1100.0], [1]),
        ([1000.0], [995.0], [1]),  # the clocks of the logs may differ by 5 seconds
        ([1000.0], [994.999], [0]),
        ([1000.0], [1100.001], [0]),
        ([1000.0], [990.0, 1200.0], [0]),
        ([1000.0], [1200.0, 990.0, 1050.0], [1]),
        ([900.0, 1000.0, 1050.0, 1061.0], [1055.0], [0, 1, 1, 0]),
        ([1000.0, 2000.0], [2010.0, 1010.0], [1, 1]),
        ([], [1000.0], []),
    ],
)
def test_the_label_is_one_if_an_install_follows_within_the_window(
    shown: list[float], installed: list[float], expected: list[int]
) -> None:
    assert labels(shown, installed) == expected


def test_the_tolerance_for_clocks_is_a_setting() -> None:
    installs = Installs(path="i.csv", format="csv", attribution_seconds=100, clock_skew_seconds=0)
    log = [Impression("log", 1, "", (1000.0,), None, {})]
    groups: dict[str, Any] = {"log": log, "installs": [999.999]}
    (row,) = (r for r in LabelFromInstalls(installs, 0).process((("u", "a"), groups)) if isinstance(r, Impression))
    assert row.label == 0


def end_of(times: list[float]) -> float:
    """Returns the combiner's output for times in two parts, called as Beam does."""
    combine = EndOfLog()
    accumulators = []
    for part in (times[::2], times[1::2]):
        accumulators.append(combine.add_input(combine.create_accumulator(), count_minutes(np.array(part))))
    return combine.extract_output(combine.merge_accumulators(accumulators))


FAR = 4_000_000_000.0


@pytest.mark.parametrize(
    ("times", "end"),
    [
        ([], 0.0),
        ([1000.0], 1000.0),
        ([1000.0, 1010.0], 1010.0),  # in one minute
        ([1000.0, 1010.0, FAR], 1010.0),
        ([1000.0, 1010.0, FAR, FAR - 90], FAR - 90),  # only one of four times may have a wrong clock
        ([float(i) for i in range(60, 6060)], 6059.0),  # the last minute has 60 of 6,000
        ([*(float(i) for i in range(60, 6060)), *[FAR] * 6], 6059.0),  # 6 of 6,006
        ([*(float(i) for i in range(60, 6060)), *[FAR] * 7], 6059.0),
        # The middle is the minutes from 6 to 96, so that the log ends by minute 186.
        ([*(float(i) for i in range(60, 6060)), *[186 * 60.0] * 7], 186 * 60.0),
        ([*(float(i) for i in range(60, 6060)), *[187 * 60.0] * 7], 6059.0),
        ([*(float(i) for i in range(60, 6060)), *[FAR] * 300], 6059.0),
        ([*(float(i) for i in range(60, 6060)), *[FAR] * 400], FAR),  # more than a twentieth
        ([float(300 * i) for i in range(398)] + [20_260_101.0] * 2, 397 * 300.0),
    ],
)
def test_a_log_ends_where_its_last_rows_are_but_for_wrong_clocks(times: list[float], end: float) -> None:
    assert end_of(times) == end


@pytest.mark.parametrize("late_install", [False, True], ids=["installs of the day", "installs shipped for longer"])
def test_impressions_whose_labels_are_not_known_yet_are_left_out(tmp_path: Path, late_install: bool) -> None:
    # Impressions every 10 seconds from 1000 to 1390, and one whose clock is years ahead; 100 seconds of attribution.
    rows = [impression(i, f"u{i % 4}", f"a{i % 5}", 1000.0 + 10 * i) for i in range(GOOD)]
    rows.append(impression(99, "u0", "a0", FAR))
    installs = [{"user": "u0", "app": "a0", "at": at} for at in (1050.0, 1395.0, 1440.0, FAR)]
    if late_install:  # 1441 and 1450 are in one minute, so 1450 is not ignored as a single row of a wrong clock
        installs += [{"user": "u0", "app": "a0", "at": at} for at in (1441.0, 1450.0)]
    out = ingest(store_config("jsonl", leave_out_unknown_labels=True), tmp_path, impressions=rows, installs=installs)
    # The logs end at 1440 (of 4 installs, the one years ahead is ignored), or at 1450.
    end = 1450.0 if late_install else 1440.0
    known = {row["impression"] for row in rows if row["time"] + 100 <= end}
    assert len(known) == (36 if late_install else 35)
    assert set(by_id(out)) == known
    counted = sum(number for key, number in out.counted if key == ("unknown_label",))
    assert counted == len(rows) - len(known)


def test_rows_of_a_far_time_neither_move_the_end_nor_are_silent(tmp_path: Path) -> None:
    """Two impressions in 400 have the time 20260101, and two installs in 42 another one that is far."""
    rows = [impression(i, f"u{i % 40}", f"a{i % 5}", 1000.0 + 10 * i) for i in range(398)]
    rows += [impression(398 + i, "u0", "a0", 20_260_101) for i in range(2)]
    installs = [{"user": "u0", "app": "a0", "at": 1005.0 + 90 * i} for i in range(40)]
    installs += [{"user": "u0", "app": "a0", "at": FAR} for _ in range(2)]
    out = ingest(store_config("jsonl", leave_out_unknown_labels=True), tmp_path, impressions=rows, installs=installs)
    # The impressions end at 4970; 100 seconds before it, labels are not known any more.
    assert set(by_id(out)) == {row["impression"] for row in rows if row["time"] <= 4870}
    counts = counts_from_pairs(out.counted, 1)
    assert (counts.unknown_labels, counts.after_end) == (12, {"impressions": 2, "installs": 2})
    assert counts.warnings[0].startswith(
        "2 of 400 rows of `impressions` have a time after the end of the logs by more than "
        "sources.installs.attribution_seconds, as of a wrong clock"
    )


def test_an_install_of_another_user_or_app_gives_no_label(tmp_path: Path) -> None:
    rows = [impression(i, f"u{i % 2}", f"a{i // 2}", 1000.0) for i in range(4)]
    installs = [{"user": "u0", "app": "a1", "at": 1001.0}, {"user": "u9", "app": "a0", "at": 1001.0}]
    out = ingest(store_config("jsonl"), tmp_path, impressions=rows, installs=installs)
    assert {key: row.label for key, row in by_id(out).items()} == {"i0": 0, "i1": 0, "i2": 1, "i3": 0}


def shared(*impressions: tuple[str, float], window: float = 100.0) -> list[bool]:
    """Returns which of one user's impressions of one app, given as splits and times, are marked."""
    log = [Impression("log", i, split, (at,), None, {}) for i, (split, at) in enumerate(impressions)]
    return [row.shares_label for row in marked(log, 0, window)]


def test_a_training_row_is_marked_where_one_install_can_label_it_and_an_evaluation_row() -> None:
    assert shared(("train", 1000.0), ("eval", 1100.0), ("train", 1200.0)) == [True, False, True]
    assert shared(("train", 1000.0), ("eval", 1100.5), ("train", 1201.0)) == [False, False, False]
    assert shared(("train", 1000.0), ("train", 1050.0)) == [False, False]
    assert shared(("eval", 900.0), ("train", 1000.0), ("eval", 5000.0), ("eval", 1.0)) == [False, True, False, False]


def test_rows_of_a_log_with_labels_share_them_by_its_label_columns(tmp_path: Path) -> None:
    rows = [impression(i, f"u{i % 20}", "a0", 1000.0, request=f"r{i}") | {"clicked": 1} for i in range(60)]
    config = store_config("jsonl", ingestion={"eval_fraction": 0.2})
    log = dataclasses.replace(config.sources.impressions, label="clicked", label_columns=("user",))
    sources = dataclasses.replace(config.sources, installs=None, impressions=log)
    ingested = ingest(dataclasses.replace(config, sources=sources), tmp_path, impressions=rows).impressions
    found = {row.values[2]: row for row in ingested}  # the id follows the label and the user
    assert len(found) == 60
    evaluated = {i % 20 for i in range(60) if found[f"i{i}"].split == "eval"}
    assert 0 < len(evaluated) < 20
    for i in range(60):
        row = found[f"i{i}"]
        assert row.shares_label == (row.split == "train" and i % 20 in evaluated)
