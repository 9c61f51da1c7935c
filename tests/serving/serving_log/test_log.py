"""The serving log's writer: what it writes, drops, seals and removes."""

from __future__ import annotations

import os
import re
import resource
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.serving_log.counters import COUNTERS, Counters
from serving.serving_log.folder import account_of, accounts, close_accounts, remove_old, sealed_files
from serving.serving_log.frames import MAX_PAYLOAD_BYTES
from serving.serving_log.log import ServingLog
from serving.serving_log.reader import ReadCounts, read_records
from serving.serving_log.record import LoggedCandidate, candidates
from serving.serving_log.request_ids import RequestIds, is_sampled
from serving.serving_log.writer import LogWriter
from tests.serving.serving_log.logs import KEY, log_one, logged_ids, settings, suffixes, totals
from transform.errors import InputError


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "timeout"
        time.sleep(0.005)


def test_a_record_has_what_was_asked_and_answered(tmp_path: Path) -> None:
    before = time.time()
    with ServingLog(settings(tmp_path / "log")) as log:
        request_id = log_one(
            log,
            model="store",
            version=7,
            signature="rank_items",
            context=b"the context",
            item_ids=["b", "new"],
            scores=[0.1, 0.05],
            num_returned=1,
            user_key="u1",
            item_features=[b"", b"features"],
            in_catalog=[True, False],
            catalog_digest="d1",
        )
    (path,) = sealed_files(str(tmp_path / "log"))
    counts = ReadCounts()
    (found,) = read_records([path], counts)
    assert counts == ReadCounts(records=1)
    assert RequestIds([KEY]).are_ours(request_id)
    assert before <= found.time_micros / 1e6 <= time.time()
    assert (found.request_id, found.model, found.version, found.signature) == (request_id, "store", 7, "rank_items")
    assert (found.context, found.user_key, found.num_returned, found.sample) == (b"the context", "u1", 1, 1.0)
    assert (found.catalog_digest, found.policy, found.schema_version) == ("d1", "score_order", 1)
    first, second = candidates(found)
    assert (first.score, second.score) == pytest.approx((0.1, 0.05))
    assert first == LoggedCandidate("b", 1, first.score, 1.0, b"", True)
    assert second == LoggedCandidate("new", 2, second.score, 1.0, b"features", False)


def test_the_names_say_who_wrote_a_file_and_how_many_frames_it_has(tmp_path: Path) -> None:
    with ServingLog(settings(tmp_path / "log")) as log:
        for _ in range(3):
            log_one(log)
    host = re.sub("[^A-Za-z0-9-]", "-", socket.gethostname())
    (name,) = (os.path.basename(path) for path in sealed_files(str(tmp_path / "log")))
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}Z\.{host}\.{os.getpid()}\.[0-9a-f]{{8}}\.000000\.n3\.log", name)


def test_two_replicas_with_one_name_do_not_collide(tmp_path: Path) -> None:
    """Two writers of one host, process id and second."""
    with ServingLog(settings(tmp_path / "log")) as first, ServingLog(settings(tmp_path / "log")) as second:
        made = {log_one(log) for log in (first, second) for _ in range(10)}
    assert len(made) == 20
    assert sorted(logged_ids(tmp_path / "log")) == sorted(made)
    assert len(accounts(str(tmp_path / "log"))) == 2
    assert totals(tmp_path / "log")["written"] == 20


def test_a_share_is_logged_by_the_id_and_the_rest_is_counted(tmp_path: Path) -> None:
    with ServingLog(settings(tmp_path / "log", sample=0.25)) as log:
        made = [log_one(log) for _ in range(400)]
    sampled = [request_id for request_id in made if is_sampled(request_id, 0.25)]
    assert 0 < len(sampled) < 400
    assert logged_ids(tmp_path / "log") == sampled
    found = totals(tmp_path / "log")
    assert (found["answered"], found["not_sampled"], found["written"]) == (400, 400 - len(sampled), len(sampled))


def test_what_no_event_can_be_joined_to_is_too_long_or_wrong_is_dropped_and_counted(tmp_path: Path) -> None:
    with ServingLog(settings(tmp_path / "log", queue_bytes=2 * MAX_PAYLOAD_BYTES)) as log:
        log_one(log, item_ids=["a", "a"])
        log_one(log, context=bytes(MAX_PAYLOAD_BYTES))
        log_one(log, version="seven")
        log_one(log, unknown=1)
        kept = log_one(log)
    found = totals(tmp_path / "log")
    assert {name: value for name, value in found.items() if value} == {
        "answered": 5, "doubled_item": 1, "too_long": 1, "invalid": 2, "written": 1, "ended": 1,
    }  # fmt: skip
    assert logged_ids(tmp_path / "log") == [kept]


def test_files_are_sealed_by_size_and_by_age(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with ServingLog(settings(folder, file_bytes=1, write_seconds=0.01)) as log:
        log_one(log)
        wait_until(lambda: totals(folder)["written"] == 1)
        log_one(log)
        wait_until(lambda: totals(folder)["written"] == 2)
        assert suffixes(folder) == [".counts", ".log", ".open"]
    assert suffixes(folder) == [".counts", ".log", ".log"]
    with ServingLog(settings(tmp_path / "other", file_seconds=0.05, write_seconds=0.01)) as log:
        log_one(log)
        wait_until(lambda: suffixes(tmp_path / "other") == [".counts", ".log"])


def test_a_closed_log_refuses_records(tmp_path: Path) -> None:
    log = ServingLog(settings(tmp_path / "log"))
    log.close()
    with pytest.raises(ValueError, match="the serving log is closed"):
        log_one(log)


def test_a_stalled_disk_slows_no_answer_and_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    """A pipe that nobody reads in place of the log's file: a write stalls once 64 KiB are in it."""
    folder, number, payload = tmp_path / "log", 3_000, bytes(1_000)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    given = settings(folder, queue_bytes=100_000, write_seconds=0.01)
    writer = LogWriter[bytes](given, bytes, lambda _: os.open(pipe, os.O_WRONLY))
    try:
        slowest = 0.0
        for _ in range(number):
            began = time.perf_counter()
            writer.put(payload, len(payload))
            slowest = max(slowest, time.perf_counter() - began)
        found = totals(folder)
        assert found["answered"] == number
        # At most what is in the pipe, in the write that stalls, and in the queue.
        assert found["queue_full"] >= number - (65_536 + 100_000 + 100_000) // 1_000 - 1
        assert slowest < 0.5
        began = time.perf_counter()
        writer.close(timeout=0.2)
        assert time.perf_counter() - began < 5
        assert totals(folder)["ended"] == 0
        assert account_of(totals(folder)) == number - found["queue_full"]
    finally:
        os.close(reader)  # the write fails, and the thread ends


def test_a_full_disk_costs_what_it_cannot_hold_and_is_written_to_again(tmp_path: Path) -> None:
    """The kernel refuses files of more than 10,000 bytes for a while, in the middle of a write, as a full disk does."""
    folder = tmp_path / "log"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ServingLog(settings(folder, write_seconds=0.01)) as log:
        first = log_one(log)
        wait_until(lambda: totals(folder)["written"] == 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            during = [log_one(log, context=bytes(1_000)) for _ in range(50)]
            wait_until(lambda: account_of(totals(folder)) == 0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        last = log_one(log)
    counts = ReadCounts()
    logged, found = logged_ids(folder, counts), totals(folder)
    assert (logged[0], logged[-1]) == (first, last)
    assert logged[1:-1] == [request_id for request_id in during if request_id in logged]
    assert 0 < len(logged) - 2 < 10
    assert (found["written"], found["disk"]) == (len(logged), 52 - len(logged))
    assert counts == ReadCounts(records=len(logged))  # what was begun was cut off again


def test_a_folder_that_is_gone_for_a_while_costs_what_was_logged_meanwhile(tmp_path: Path) -> None:
    folder, away = tmp_path / "log", tmp_path / "away"
    with ServingLog(settings(folder, write_seconds=0.01)) as log:
        folder.rename(away)
        log_one(log)
        wait_until(lambda: log.values()["disk"] == 1)
        away.rename(folder)
        kept = log_one(log)
    assert logged_ids(folder) == [kept]
    assert (totals(folder)["written"], totals(folder)["disk"]) == (1, 1)


def sealed(folder: Path, name: str, size: int, age: float, now: float) -> Path:
    path = folder / name
    path.write_bytes(bytes(size))
    os.utime(path, (now - age, now - age))
    return path


def test_retention_removes_the_oldest_sealed_files_and_counts_their_requests(tmp_path: Path) -> None:
    now = 1_700_000_000.0
    writer = "20231114T000000Z.h.1.0123abcd"
    old = sealed(tmp_path, f"{writer}.000000.n5.log", 10, 101, now)
    second = sealed(tmp_path, f"{writer}.000001.n7.log", 100, 99, now)
    third = sealed(tmp_path, f"{writer}.000002.n9.log", 100, 50, now)
    kept = [
        sealed(tmp_path, f"{writer}.000003.open", 100, 1_000, now),
        sealed(tmp_path, "notes.txt", 10_000, 1_000, now),
        sealed(tmp_path, "x.000003.n9.log", 10_000, 1_000, now),
    ]
    removed = remove_old(str(tmp_path), 100, 300, now)
    assert (removed.files, removed.requests) == (1, 5)
    assert not old.exists()
    removed = remove_old(str(tmp_path), 100, 299, now)
    assert (removed.files, removed.requests) == (1, 7)
    assert not second.exists()
    assert third.exists()
    assert all(path.exists() for path in kept)


def test_counters_are_removed_with_the_last_file_once_they_are_old(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with ServingLog(settings(folder)) as log:
        log_one(log)
    later = time.time() + 1_000
    assert remove_old(str(folder), 2_000, 1, later).requests == 1
    assert suffixes(folder) == [".counts"]
    remove_old(str(folder), 500, 1, later)
    assert suffixes(folder) == []


def test_counters_of_a_living_process_are_not_touched(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with ServingLog(settings(folder)) as log:
        log_one(log)
        assert close_accounts(str(folder)) == 0
        assert totals(folder)["ended"] == 0
    assert totals(folder) == dict.fromkeys(COUNTERS, 0) | {"answered": 1, "written": 1, "ended": 1}


@pytest.mark.parametrize("content", [b"", b"x" * 88, b"WDRCNT\x00\x01"])
def test_another_file_of_that_name_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "20231114T000000Z.h.1.0123abcd.counts"
    path.write_bytes(content)
    with pytest.raises(InputError, match="a file of counters must be one of the serving log's"):
        Counters(str(path), creates=False)
    assert close_accounts(str(tmp_path)) == 0
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sample": 0}, "`sample` must be above 0, at most 1. Received: 0"),
        ({"sample": float("nan")}, "`sample` must be above 0, at most 1. Received: nan"),
        ({"keep_bytes": 0}, "`keep_bytes` must be above 0. Received: 0"),
        ({"write_seconds": 2}, "`write_seconds` must be above 0, at most 1. Received: 2"),
    ],
)
def test_settings_follow_their_rules(tmp_path: Path, given: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings(tmp_path / "log", **given)


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    with ServingLog(settings(tmp_path / "log", write_seconds=0.01)) as log:
        threads = [threading.Thread(target=lambda: [log_one(log) for _ in range(500)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert totals(tmp_path / "log")["answered"] == totals(tmp_path / "log")["written"] == 4_000
    assert len(set(logged_ids(tmp_path / "log"))) == 4_000
