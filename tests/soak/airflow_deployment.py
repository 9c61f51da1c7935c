"""A store with a dedicated Airflow, and what runs there, for `tests.soak.airflow`."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipeline.metadata.connection import METADATA_URL
from tests.e2e import store
from tests.soak.postgresql import PostgreSQL

#: Short intervals, since the campaign waits for them; the retries last longer than its outage.
_SCHEDULE = {"cron": "0 0 * * *", "poll_seconds": 2, "retries": 7, "retry_seconds": 1}


@dataclasses.dataclass(frozen=True)
class Deployment:
    """A store, a workspace, and Airflow's own folder.

    Attributes:
      folder: The folder that contains all of them.
      airflow: Airflow's version.
      port: The port of Airflow's pages.
      database: The PostgreSQL server for ML Metadata; None for SQLite.
      group: Whether resolvers and gates run in the task of the node before them.
    """

    folder: Path
    airflow: str
    port: int
    database: PostgreSQL | None
    group: bool = False

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def home(self) -> Path:
        return self.folder / "airflow" / self.airflow

    @property
    def password(self) -> str | None:
        """The password of `admin` on Airflow's pages; None if they require none."""
        file = self.home / "standalone_admin_password.txt"
        return file.read_text().strip() if self.airflow.startswith("2") else None

    def config(self, start: datetime.date) -> Path:
        """Writes the small store's config, with a schedule."""
        sections = yaml.safe_load(store.CONFIG.read_text())
        sections["schedule"] = {"start": start, **_SCHEDULE}
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(sections))
        return path

    def airflow_says(self, *arguments: str) -> str:
        """The output of a command of this Airflow."""
        variables = {
            **os.environ,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        command = [str(self.home / "environment" / "bin" / "airflow"), *arguments]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        return done.stdout

    def runs(self) -> list[dict[str, Any]]:
        """The DAG's runs, each with `run_id` and `state`, the earliest first."""
        by_option = ["-d", store.NAME] if self.airflow.startswith("2") else [store.NAME]
        runs = json.loads(self.airflow_says("dags", "list-runs", *by_option, "-o", "json"))
        return sorted(runs, key=lambda run: str(run["run_id"]))

    def tasks(self) -> list[list[str]]:
        """The nodes of each of the DAG's tasks; a task's id is its first node."""
        topology = json.loads((self.home / "dags" / "compiled" / "topology.json").read_text())
        tasks: list[list[str]] = topology["tasks"]
        return tasks

    def tries(self, run: int, node: str) -> int:
        """How many times Airflow started the task of a node in a run; runs are counted from 0."""
        (task,) = (nodes[0] for nodes in self.tasks() if node in nodes)
        logs = sorted((self.home / "logs" / f"dag_id={store.NAME}").glob("run_id=*"))
        return len(list((logs[run] / f"task_id={task}").glob("attempt=*.log")))

    def task_seconds(self, run_id: str) -> float:
        """The sum of the durations of a run's tasks, each of its last try, in seconds; without the wait for logs."""
        states = json.loads(self.airflow_says("tasks", "states-for-dag-run", store.NAME, run_id, "-o", "json"))
        times = [
            (datetime.datetime.fromisoformat(task["start_date"]), datetime.datetime.fromisoformat(task["end_date"]))
            for task in states
            if task["task_id"] != "wait_for_logs"
        ]
        return sum((end - start).total_seconds() for start, end in times)


@contextlib.contextmanager
def running(deployment: Deployment, config: Path, start: datetime.date) -> Iterator[None]:
    """Starts Airflow, and stops it at the end of the context."""
    command: list[str | Path] = [
        sys.executable, store.ROOT / "deploy" / "airflow" / "standalone.py", config, "--airflow", deployment.airflow,
        "--data", deployment.data, "--workspace", deployment.workspace, "--home", deployment.folder / "airflow",
        "--port", str(deployment.port), "--start", start.isoformat(), "--no-browser",
        *(["--group"] if deployment.group else []),
    ]  # fmt: skip
    variables = {**os.environ, **({METADATA_URL: deployment.database.url} if deployment.database else {})}
    with (deployment.folder / "airflow.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=store.ROOT, env=variables, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
            assert process.poll() is None, f"Airflow ended by itself: {log.name}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def processes(workspace: Path, node: str) -> list[int]:
    """The ids of the processes that run a node in a workspace."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process has ended meanwhile
            command = (folder / "cmdline").read_bytes().split(b"\0")
            variables = (folder / "environ").read_bytes().split(b"\0")
            runs_it = b"run-node" in command and (b"--node", node.encode()) in itertools.pairwise(command)
            if runs_it and f"WDR_WORKSPACE={workspace}".encode() in variables:
                found.append(int(folder.name))
    return found


def await_node(deployment: Deployment, node: str, end: float) -> list[int]:
    """Waits until a node's next execution has started; returns the node's processes."""
    folder, found = deployment.workspace / "artifacts" / node / ".system", []
    before = set(folder.rglob("*"))
    while set(folder.rglob("*")) <= before or not (found := processes(deployment.workspace, node)):
        assert time.monotonic() < end, f"{node} was never started: {deployment.folder / 'airflow.log'}"
        time.sleep(0.01)
    return found
