"""A rank service and a process with a client's log, both killed at random moments while they log to one folder.

    python -m tests.soak.serving_log_kills [--requests 200000] [--kills 20] [--seed 1]

Each answered request must be in the log exactly once, or be counted as lost by its writer's counters; and what is lost
must have been answered within the last second before the kill. Exits with code 1 otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import http.client
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from serving.serving_log.counters import DROPPED
from serving.serving_log.folder import accounts, close_accounts
from serving.serving_log.reader import ReadCounts
from tests.serving.ranking_client.running import free_port, model_server, process, wait_until_up
from tests.serving.serving_log.logs import KEY, logged_ids

#: What may be lost: the answers of so many seconds before a kill.
MAX_LOST_SECONDS = 1.0

_NUM_CLIENTS, _NUM_CANDIDATES = 4, 50


@dataclasses.dataclass
class Answers:
    """The answered requests of both processes.

    Attributes:
      times: When each request's answer was there, by its id.
      from_service: How many of them the service answered.
      from_client: How many the process with a client's log answered.
    """

    times: dict[str, float] = dataclasses.field(default_factory=dict)
    from_service: int = 0
    from_client: int = 0


def ask_service(port: int, answers: Answers, is_over: threading.Event) -> None:
    """Sends requests to the service until it is killed."""
    body = json.dumps({"context": {"age": 30}, "candidates": [f"app_{i}" for i in range(_NUM_CANDIDATES)]})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not is_over.is_set():
        try:
            connection.request("POST", "/rank", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            request_id = json.loads(response.read())["request_id"]
        except (OSError, http.client.HTTPException):  # killed
            return
        answers.times[request_id] = time.monotonic()
        answers.from_service += 1


def read_client(running: subprocess.Popen[str], answers: Answers) -> None:
    """Takes the ids that the process with a client's log prints until it is killed."""
    assert running.stdout is not None
    for line in running.stdout:
        if line.endswith("\n"):
            answers.times[line.strip()] = time.monotonic()
            answers.from_client += 1


def run_until_killed(server: str, folder: Path, answers: Answers, enough: int) -> float:
    """Runs both processes until so many requests are answered in all, and kills both; returns when."""
    port, out, key = free_port(), folder.parent / "out", folder.parent / f"{folder.name}.key"
    command = ["-m", "pipeline.cli", "rank-service", "--server", server, "--model", "tiny", "--port", str(port)]
    command += ["--log-dir", str(folder), "--log-key", str(key), "--log-file-bytes", "500000"]
    client = [sys.executable, "-m", "tests.serving.serving_log.writing", str(folder), "0.01"]
    is_over = threading.Event()
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(process([*command, "--deadline-seconds", "30"], out))
        wait_until_up(service, f"http://127.0.0.1:{port}/health/live", out, 120)
        writer = stack.enter_context(subprocess.Popen(client, stdout=subprocess.PIPE, text=True))
        threads = [threading.Thread(target=read_client, args=(writer, answers))]
        threads += [threading.Thread(target=ask_service, args=(port, answers, is_over)) for _ in range(_NUM_CLIENTS)]
        for thread in threads:
            thread.start()
        while len(answers.times) < enough:
            assert (service.poll(), writer.poll()) == (None, None), out.read_text()
            time.sleep(0.001)
        killed = time.monotonic()
        service.kill()
        writer.kill()
        is_over.set()
        for thread in threads:
            thread.join()
        service.wait()
    return killed


def problems(folder: Path, answers: Answers, kills: list[float]) -> list[str]:
    """The violated requirements, one sentence each, once all accounts are closed."""
    found = []
    counts = ReadCounts()
    logged = Counter(logged_ids(folder, counts))
    totals = Counter[str]()
    for counters in accounts(str(folder)).values():
        totals.update(counters)
        known = counters["written"] + counters["lost"] + sum(counters[name] for name in DROPPED)
        if counters["answered"] != known or not counters["ended"]:
            found.append(f"an account must be closed and add up. Received: {counters}")
    if doubled := [one for one, number in logged.items() if number > 1]:
        found.append(f"a request must be logged once. Received: {len(doubled)} more often, such as {doubled[0]}")
    if len(logged) != totals["written"]:
        found.append(f"the frames must be those counted as written, {totals['written']}. Received: {len(logged)}")
    missing = [one for one in answers.times if one not in logged]
    if len(missing) > totals["lost"]:
        found.append(f"what is missing must be counted as lost, {totals['lost']}. Received: {len(missing)}")
    if totals["answered"] < len(answers.times):
        found.append(f"each answer must be counted, {len(answers.times)}. Received: {totals['answered']}")
    early = [
        one
        for one in missing
        if min((kill - answers.times[one] for kill in kills if kill >= answers.times[one]), default=0.0)
        > MAX_LOST_SECONDS
    ]
    if early:
        found.append(f"only the last second before a kill may be lost. Received: {len(early)} earlier")
    if any((counts.damaged_frames, counts.no_records, counts.unreadable_files, counts.newer_records)):
        found.append(f"a kill may cut a frame in half and nothing else. Received: {counts}")
    return found


def soak(folder: Path, server: str, num_requests: int, num_kills: int, seed: int) -> tuple[Answers, list[str]]:
    """Runs both processes, again after each kill; returns the answers and the violated requirements."""
    draw = random.Random(seed)
    answers, kills = Answers(), list[float]()
    folder.mkdir()
    (folder.parent / f"{folder.name}.key").write_bytes(KEY)
    for number in range(1, num_kills + 1):
        moment = number - draw.random() / 2 if number < num_kills else number
        kills.append(run_until_killed(server, folder, answers, int(num_requests * moment / num_kills)))
        Console().print(f"kill {number}: {len(answers.times):,} requests answered")
    close_accounts(str(folder))
    return answers, problems(folder, answers, kills)


def main() -> None:
    """Prints a table of what was answered, logged and lost; exits with 1 if a requirement is violated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    from tests.serving.ranking_client.tiny_model import export_tiny  # needs TensorFlow, and --help does not

    with tempfile.TemporaryDirectory() as temporary:
        models, folder = Path(temporary) / "models", Path(temporary) / "log"
        (models / "tiny").mkdir(parents=True)
        export_tiny(models / "tiny")
        with model_server(models, Path(temporary) / "server", start_seconds=120) as (server, _):
            answers, wrong = soak(folder, server, arguments.requests, arguments.kills, arguments.seed)
        totals = Counter[str]()
        for counters in accounts(str(folder)).values():
            totals.update(counters)
    table = Table("answered by the service", "by the client", "counted", "written", "lost", "kills", "violations")
    numbers = (answers.from_service, answers.from_client, totals["answered"], totals["written"], totals["lost"])
    table.add_row(*(f"{number:,}" for number in (*numbers, arguments.kills, len(wrong))))
    Console().print(table)
    for sentence in wrong:
        Console().print(sentence)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
