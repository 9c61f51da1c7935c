"""The completed labels are those of plain Python that sees both days' logs at once."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from components.examples.file_work import do_on_files
from components.ingestion import tail
from components.late_labels.component import CompleteShards, LateLabelsExecutor, complete
from pipeline.beam_options import make_beam_args
from tests.components.late_labels.two_days import (
    ENDS,
    WINDOW,
    Day,
    completed,
    config_of,
    here,
    ingested,
    is_shared,
    label_of,
    look_up_examples,
    random_day,
)
from tests.contents import contents
from transform.config.beam import Beam


class TwoDays(NamedTuple):
    """Two days' logs, and the folder below whose `0` and `1` they are ingested."""

    folder: Path
    days: tuple[Day, Day]


def both_ingested(folder: Path, seed: int) -> TwoDays:
    days = random_day(0, seed), random_day(1, seed)
    for number, day in enumerate(days):
        ingested(config_of(), day, folder / str(number))
    return TwoDays(folder, days)


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> TwoDays:
    return both_ingested(tmp_path_factory.mktemp("two_days"), 1)


def check_against_plain_python(two_days: TwoDays, out: Path) -> None:
    """Completes the first day's tail, and compares everything with plain Python."""
    folder, (first, second) = two_days
    base = look_up_examples(folder / "0" / "out" / "examples")
    before = contents(folder / "0" / "out" / "examples")
    late, counts = completed(config_of(), folder / "0", folder / "1", out)
    assert contents(folder / "0" / "out" / "examples") == before

    by_id = {row["impression"]: row for row in first.impressions}
    known = {id_ for id_, row in by_id.items() if row["time"] + WINDOW <= ENDS[0]}
    assert {id_ for split in base.values() for id_ in split} == known
    found = {id_: example for split in late.values() for id_, example in split.items()}
    assert found.keys() == by_id.keys() - known  # nothing is lost, and nothing is there twice
    assert sum(len(split) for split in late.values()) == len(found) > 10

    labels = {id_: label_of(row, [*first.installs, *second.installs]) for id_, row in by_id.items()}
    assert {id_: example["label"][0] for id_, example in found.items()} == {id_: labels[id_] for id_ in found}
    # Of the base, the second day's installs change no label.
    assert all(example["label"][0] == labels[id_] for split in base.values() for id_, example in split.items())

    ids = look_up_examples(folder / "1" / "out" / "examples")["eval"]
    evaluated = [row for row in second.impressions if row["impression"] in ids]
    shared = {id_: is_shared(by_id[id_], evaluated) for id_ in found}
    assert {id_: example["shares_label"][0] for id_, example in found.items()} == shared

    so_far = sum(label_of(by_id[id_], first.installs) for id_ in found)
    positives = sum(labels[id_] for id_ in found)
    assert (counts.waiting, counts.completed, counts.still_open) == (len(found), len(found), 0)
    assert (counts.positives, counts.found_late) == (positives, positives - so_far)
    assert positives > so_far > 0
    assert counts.shared == sum(shared.values())


def test_late_labels_are_those_of_one_look_at_both_days(two_days: TwoDays, tmp_path: Path) -> None:
    check_against_plain_python(two_days, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_so_are_those_of_other_logs(tmp_path: Path, seed: int) -> None:
    check_against_plain_python(both_ingested(tmp_path, seed), tmp_path / "completed")


def test_a_completed_example_is_what_an_ingestion_of_both_logs_would_have_written(
    two_days: TwoDays, tmp_path: Path
) -> None:
    folder, (first, second) = two_days
    late, _ = completed(config_of(), folder / "0", folder / "1", tmp_path / "completed")
    of_both = config_of(leave_out_unknown_labels=False, late_labels=False)
    ingested(of_both, first, tmp_path / "both", second.installs)
    expected = look_up_examples(tmp_path / "both" / "out" / "examples")
    for split, examples in late.items():
        for id_, example in examples.items():
            assert example.pop("late_label") == [1]
            del example["shares_label"]  # of the second day's evaluation rows, not of the first's
            assert example == {name: v for name, v in expected[split][id_].items() if name != "shares_label"}
    assert all(late.values())


def test_a_span_s_own_examples_are_the_same_with_and_without_late_labels(two_days: TwoDays, tmp_path: Path) -> None:
    ingested(config_of(late_labels=False), two_days.days[0], tmp_path)
    found, expected = (contents(folder / "out" / "examples") for folder in (two_days.folder / "0", tmp_path))
    assert {path: content for path, content in found.items() if not path.startswith("tail/")} == expected
    assert {path.split("/")[0] for path in found} == {"Split-eval", "Split-train", "tail"}


def test_a_window_that_the_next_span_s_logs_do_not_close_is_left_out_and_counted(
    two_days: TwoDays, tmp_path: Path
) -> None:
    cut = ENDS[0] + WINDOW / 2
    shown = [row | {"time": ENDS[0] + 1.0} for row in two_days.days[1].impressions]
    installs = [{"user": "nobody", "app": "a0", "at": cut} for _ in range(2)]
    ingested(config_of(), Day(shown, installs), tmp_path)
    late, counts = completed(config_of(), two_days.folder / "0", tmp_path, tmp_path / "completed")
    waiting = {r["impression"]: r["time"] for r in two_days.days[0].impressions if r["time"] + WINDOW > ENDS[0]}
    closed = {id_ for id_, time in waiting.items() if time + WINDOW <= cut}
    assert {id_ for split in late.values() for id_ in split} == closed
    assert (counts.waiting, counts.completed) == (len(waiting), len(closed))
    assert counts.still_open == len(waiting) - len(closed) > 0 < counts.completed


def test_without_a_tail_there_are_files_without_examples(two_days: TwoDays, tmp_path: Path) -> None:
    counts = complete(config_of(), 0, None, str(two_days.folder / "1" / "out" / "examples"), str(tmp_path), here)
    assert (counts.waiting, counts.completed) == (0, 0)
    assert look_up_examples(tmp_path) == {"train": {}, "eval": {}}


def refuse(*_: object) -> None:
    raise AssertionError("a shard was completed in this process")


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one_process(
    two_days: TwoDays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = shutil.copytree(two_days.folder / "0" / "out" / "examples", tmp_path / "0" / "out" / "examples")
    (shard,) = tail.open_shards(str(examples / tail.TAIL))
    rows = tail.read_shard(shard)
    for at in range(3):  # a shard of many rows, in three; its own is replaced
        tail.write_open(str(examples / tail.TAIL), (at,), rows.slice(at * 20, 20 if at < 2 else len(rows)))
    Path(shard).unlink()
    _, counts = completed(config_of(), tmp_path / "0", two_days.folder / "1", tmp_path / "one")
    monkeypatch.setattr(CompleteShards, "complete", refuse)
    options = list(make_beam_args(Beam(num_workers=2)))
    executor = LateLabelsExecutor(LateLabelsExecutor.Context(options, str(tmp_path / "tmp"), "1"))
    following = str(two_days.folder / "1" / "out" / "examples")
    on_shards = functools.partial(do_on_files, executor)
    assert complete(config_of(), 0, str(examples), following, str(tmp_path / "two"), on_shards) == counts
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
