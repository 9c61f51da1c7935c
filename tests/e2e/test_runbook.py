"""Nightly failures of a scheduler's tasks: their messages are those of the runbook, and its remedies work.

The rows are those of deploy/airflow/README.md, "When someone is paged".
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.compile.compiled import read_topology, write_compiled
from pipeline.metadata.connection import METADATA_URL
from tests.e2e import store
from tests.e2e.bad_store import in_process
from tests.e2e.prepared_store import read_rows, write_rows
from tests.e2e.small_disk import LEFT_BYTES, fill, mounted
from tests.soak import postgresql
from tests.soak.same_days import model_of
from transform.config.config import Config
from transform.config.config_file import load_config

pytestmark = pytest.mark.slow

#: The runbook's explanation, by symptom.
RUNBOOK = {
    cells[1].strip(): cells[2].strip()
    for line in (store.ROOT / "deploy" / "airflow" / "README.md").read_text().splitlines()
    if len(cells := line.split("|")) == 5
}
SKIPPED = "a task skipped, the run *success*"

#: The nodes before the gates on statistics.
INGESTION = ("example_gen", "row_gate")
ALL_GATES = (
    *INGESTION, "statistics_gen", "schema_gen", "example_validator", "anomaly_gate", "last_pushed_model",
    "earlier_records", "data_validation", "data_gate",
)  # fmt: skip


def log_of(data: Path) -> Path:
    """The log file of the second day."""
    return data / "impressions" / "day-2" / "part-00000.csv"


def cut_off(data: Path) -> None:
    """Replaces the log by a compressed file whose upload ended too early."""
    log = log_of(data)
    whole = gzip.compress(log.read_bytes())
    log.unlink()
    log.with_suffix(".csv.gz").write_bytes(whole[: len(whole) // 2])


def never_came(data: Path) -> None:
    shutil.rmtree(log_of(data).parent)


def without_app(data: Path) -> None:
    rows = read_rows(log_of(data))
    write_rows(log_of(data), [{k: v for k, v in row.items() if k != "app_id"} for row in rows])


def one_percent(data: Path) -> None:
    """Keeps 1 % of the rows; half of them lead to an install, so that both splits have both labels."""
    installs = data / "installs" / "day-2" / "part-00000.csv"
    installed = {(row["user_id"], row["app_id"]) for row in read_rows(installs)}
    rows = read_rows(log_of(data))
    lead = [row for row in rows if (row["user_id"], row["app_id"]) in installed]
    others = [row for row in rows if (row["user_id"], row["app_id"]) not in installed]
    half = len(rows) // 200
    write_rows(log_of(data), lead[:half] + others[:half])


#: The failure after which a night is tested.
BEFORE_THE_NIGHT = "1 % of the rows"

#: By failure: how to cause it, the node that stops the run, part of its message, and the runbook's name for it.
BAD_DAYS = {
    "a truncated log file": (
        cut_off,
        "example_gen",
        "the file is damaged or cut off after line 0",
        "a file that is cut off",
    ),
    "a missing day": (never_came, "example_gen", "no impressions for span 2", "no logs of the day"),
    "another schema": (without_app, "example_gen", "the columns ['app_id'] are missing", "a column that is gone"),
    BEFORE_THE_NIGHT: (one_percent, "data_gate", "must have at least 0.2 times the median number of", "too few rows"),
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The small store's config, with a path that also matches compressed logs, and a window of three days."""
    sections = yaml.safe_load(store.CONFIG.read_text())
    sections["ingestion"]["window_spans"] = 3
    sections["sources"]["impressions"]["path"] += "*"
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(yaml.safe_dump(sections))
    return load_config(file)


@pytest.fixture(scope="module")
def compiled(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    write_compiled(config, folder)
    return folder


@pytest.fixture(scope="module")
def workspace(first_day: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the first day was pushed; `test_node_runs.py` has one that was run node by node."""
    return store.copy_of(first_day[0], tmp_path_factory.mktemp("runbook") / "workspace")


def task(compiled: Path, data: Path, workspace: Path, node: str, span: int, run_id: str = "night") -> list[str | Path]:
    """The arguments of `wdr` for one task of a scheduler."""
    return [
        "run-node", "--compiled", compiled, "--node", node, "--span", str(span), "--run-id", f"{run_id}-{span}",
        "--data", data, "--workspace", workspace,
    ]  # fmt: skip


def run(
    compiled: Path, data: Path, workspace: Path, nodes: Sequence[str], span: int, run_id: str = "night"
) -> subprocess.CompletedProcess[str]:
    """Runs nodes as a scheduler's tasks, up to the first that fails; returns the last one's result."""
    done = []
    for node in nodes:
        done.append(in_process(*task(compiled, data, workspace, node, span, run_id)))
        if done[-1].returncode:
            break
    return done[-1]


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def check_skipped(what: str, compiled: Path, data: Path, workspace: Path, folder: Path) -> None:
    """Runs the second day with a failure, which a gate must put on record."""
    breaks, gate, sentence, in_runbook = BAD_DAYS[what]
    broken = folder / "data"
    shutil.copytree(data, broken)
    breaks(broken)
    run_id = re.sub(r"\W+", "-", what)
    done = run(compiled, broken, workspace, ALL_GATES, 2, run_id)
    assert (done.returncode, done.args[done.args.index("--node") + 1]) == (99, gate), done.stderr
    assert last_line(done).startswith("span 2 is skipped; the next run starts from the last good span: ")
    assert sentence in last_line(done)
    report: dict[str, Any] = json.loads((workspace / "reports" / f"{store.NAME}.{run_id}-2.1.json").read_text())
    assert (report["status"], report["span"], report["skipped_by"]) == ("skipped", 2, gate)
    assert sentence in report["reason"]
    assert in_runbook in RUNBOOK[SKIPPED]
    assert store.versions(workspace) == [1]


@pytest.mark.parametrize("what", [what for what in BAD_DAYS if what != BEFORE_THE_NIGHT])
def test_a_bad_day_is_skipped_on_record(what: str, compiled: Path, data: Path, workspace: Path, tmp_path: Path) -> None:
    check_skipped(what, compiled, data, workspace, tmp_path)


def test_the_night_after_builds_on_the_last_good_one_though_its_tasks_are_killed(
    compiled: Path, data: Path, workspace: Path, tmp_path: Path
) -> None:
    check_skipped(BEFORE_THE_NIGHT, compiled, data, workspace, tmp_path)
    printed = ""
    for node in (node.id for node in read_topology(compiled).nodes):
        if node in ("transform", "push"):
            kill_when_running(compiled, tmp_path / "data", workspace, node, 3)
        done = run(compiled, tmp_path / "data", workspace, [node], 3)
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    written = workspace / "reports" / f"{store.NAME}.night-3.1.json"
    again = run(compiled, tmp_path / "data", workspace, ["push"], 3).stdout
    assert [output.splitlines()[-1] for output in (printed, again)] == [f"report: {written}"] * 2
    report = json.loads(written.read_text())
    assert (report["version"], report["spans"]) == (2, [3, 1])  # the window without the day that a gate stopped
    assert report["training"]["warm_started_from"] == model_of(workspace, 1)
    assert store.versions(workspace) == [1, 2]


def kill_when_running(compiled: Path, data: Path, workspace: Path, node: str, span: int) -> None:
    """Starts a node as a task does and kills it with SIGKILL when its execution has started."""
    system = workspace / "artifacts" / node / ".system"
    before = set(system.rglob("*"))
    command = store.command(*task(compiled, data, workspace, node, span))
    process = subprocess.Popen(command, cwd=store.ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 300
    while set(system.rglob("*")) <= before:
        assert process.poll() is None, f"{node} ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk") as place:
        yield place


def test_a_full_disk_is_told_and_with_room_the_task_goes_on(compiled: Path, data: Path, small_disk: Path) -> None:
    workspace, filler = small_disk / "workspace", small_disk / "filler"
    assert run(compiled, data, workspace, INGESTION, 1).returncode == 0
    fill(filler, LEFT_BYTES)
    # In a separate process, as a scheduler's task: Beam leaves the file that it could not write open.
    done = store.wdr(*task(compiled, data, workspace, "example_gen", 2))
    assert done.returncode == 1
    # The first day's ingestion says how much room the second day's needs.
    assert last_line(done).startswith(f"error: the disk of {workspace}/artifacts/")
    assert " must have room for what ingestion writes: " in last_line(done)
    assert "`no space left on the disk of …`, `the disk of … must have room …`" in RUNBOOK
    filler.unlink()
    assert run(compiled, data, workspace, INGESTION, 2).returncode == 0


def test_a_task_without_ml_metadata_fails_and_its_retry_goes_on(
    compiled: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tmp_path / "workspace"
    with postgresql.running() as server:
        monkeypatch.setenv(METADATA_URL, server.url)
        assert run(compiled, data, workspace, INGESTION, 1).returncode == 0
        server.stop()
        done = run(compiled, data, workspace, ["statistics_gen"], 1)
        assert done.returncode == 1
        place = server.url.replace("wdr@", "")
        assert last_line(done).startswith(f"error: statistics_gen failed: ML Metadata at {place} is not available; ")
        assert "`ML Metadata at … is not available`" in RUNBOOK
        server.start()
        assert run(compiled, data, workspace, ["statistics_gen"], 1).returncode == 0
