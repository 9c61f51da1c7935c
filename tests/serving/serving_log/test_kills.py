"""Processes that are killed while they log: each answered request is in the log once, or counted as lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from serving.serving_log.folder import close_accounts
from serving.serving_log.log import ServingLog
from serving.serving_log.reader import ReadCounts
from tests.serving.serving_log.logs import log_one, logged_ids, settings, suffixes, totals
from tests.soak.serving_log_kills import Answers, problems

#: As slow as its thread may be on a busy machine: the time between two writes is 0.02 s.
_SLOW_SECONDS = 0.5


def killed(folder: Path, after: float, pause: float) -> list[str]:
    """Runs a writer, kills it some time after its first answer, and returns the ids that it has answered with."""
    command = [sys.executable, "-m", "tests.serving.serving_log.writing", str(folder), str(pause)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        reader = running.stdout
        time.sleep(after)  # the moment of the kill is what is tried
        running.send_signal(signal.SIGKILL)
        answered = [first, *reader]
    return [line.strip() for line in answered if line.endswith("\n")]


def test_each_answer_is_logged_once_or_counted_as_lost(tmp_path: Path) -> None:
    draw = random.Random(1)
    folder, answered = tmp_path / "log", list[str]()
    for number in range(5):
        of_one = killed(folder, draw.uniform(0.0, 0.4), 0.0001)
        rate = len(of_one)
        answered += of_one
        before = totals(folder)["lost"]
        num_lost = close_accounts(str(folder))
        assert totals(folder)["lost"] - before == num_lost
        assert num_lost <= rate * _SLOW_SECONDS + 1_000, number
    counts = ReadCounts()
    logged, found = logged_ids(folder, counts), totals(folder)
    assert len(logged) == len(set(logged)) == found["written"]
    # The kill may come after a record was queued and before its answer was printed.
    assert found["answered"] - 5 <= len(answered) <= found["answered"]
    assert found["answered"] == found["written"] + found["lost"]
    assert len(set(answered) - set(logged)) <= found["lost"]
    assert found["ended"] == 5
    assert set(suffixes(folder)) == {".counts", ".log"}
    assert (counts.damaged_frames, counts.no_records, counts.unreadable_files) == (0, 0, 0)


def test_an_account_is_closed_once(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    killed(folder, 0.1, 0.001)
    close_accounts(str(folder))
    before = (totals(folder), suffixes(folder), logged_ids(folder))
    assert close_accounts(str(folder)) == 0
    assert (totals(folder), suffixes(folder), logged_ids(folder)) == before


def test_the_campaign_sees_what_is_missing_doubled_or_lost_too_early(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with ServingLog(settings(folder)) as log:
        made = [log_one(log) for _ in range(3)]
    good = Answers(dict.fromkeys(made, 100.0))
    assert problems(folder, good, [100.5]) == []
    missing = Answers({**good.times, "never logged": 98.0})
    found = " ".join(problems(folder, missing, [100.5]))
    assert "what is missing must be counted as lost, 0. Received: 1" in found
    assert "each answer must be counted, 4. Received: 3" in found
    assert "only the last second before a kill may be lost. Received: 1 earlier" in found
    (path,) = folder.glob("*.log")
    path.with_name(path.name.replace(".000000.", ".000001.")).write_bytes(path.read_bytes())
    found = " ".join(problems(folder, good, [100.5]))
    assert "a request must be logged once. Received: 3 more often" in found
