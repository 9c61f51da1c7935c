"""Simulated days on a real Airflow: its scheduler runs them one after another by itself, and a task of each is killed.

    python -m tests.soak.airflow [--airflow 3.3|2.11] [--days 3]

`deploy/airflow/standalone.py` starts Airflow with the small store's DAG. A day's logs appear when the day before is
pushed. Of each day, the process of one node is killed with SIGKILL. Ends with exit code 1 if a day is not pushed,
builds on another than the day before, or was not retried.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.e2e import store

#: The node that is killed, by the day's number, in turn.
KILLED = ("transform", "trainer", "push")

#: So long a day may take, on a machine with much else to do.
_DAY_SECONDS = 1800


@dataclasses.dataclass(frozen=True)
class Day:
    """What became of a day.

    Attributes:
      span: The day's span.
      killed: The node whose process was killed.
      tries: How often Airflow started it.
      version: The version that the day pushed.
      warm_started_from: The model that its training began with; None for a first day.
      auc: The model's.
      seconds: From the logs' appearance to the push.
    """

    span: int
    killed: str
    tries: int
    version: int | None
    warm_started_from: str | None
    auc: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Deployment:
    """A store, a workspace, and Airflow's own folder.

    Attributes:
      folder: All of them.
      airflow: Airflow's version.
      port: Of its pages.
    """

    folder: Path
    airflow: str
    port: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def home(self) -> Path:
        return self.folder / "airflow" / self.airflow

    def config(self, start: datetime.date) -> Path:
        """Writes the small store's config, with a schedule for somebody who waits for it."""
        sections = yaml.safe_load(store.CONFIG.read_text())
        sections["schedule"] = {"start": start, "cron": "0 0 * * *", "poll_seconds": 2, "retry_seconds": 1}
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(sections))
        return path

    def airflow_says(self, *arguments: str) -> str:
        """What a command of this Airflow prints."""
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

    def run_states(self) -> list[str]:
        """The states of the DAG's runs, the earliest first."""
        by_option = ["-d", store.NAME] if self.airflow.startswith("2") else [store.NAME]
        runs = json.loads(self.airflow_says("dags", "list-runs", *by_option, "-o", "json"))
        return [run["state"] for run in sorted(runs, key=lambda run: run["run_id"])]

    def tries(self, run: int, node: str) -> int:
        """How often Airflow started a node of a run, the runs counted from 0."""
        logs = sorted((self.home / "logs" / f"dag_id={store.NAME}").glob("run_id=*"))
        return len(list((logs[run] / f"task_id={node}").glob("attempt=*.log")))


@contextlib.contextmanager
def running(deployment: Deployment, config: Path, start: datetime.date) -> Iterator[None]:
    """Airflow, from its start to its end."""
    command = [
        sys.executable, store.ROOT / "deploy" / "airflow" / "standalone.py", config, "--airflow", deployment.airflow,
        "--data", deployment.data, "--workspace", deployment.workspace, "--home", deployment.folder / "airflow",
        "--port", str(deployment.port), "--start", start.isoformat(), "--no-browser",
    ]  # fmt: skip
    with (deployment.folder / "airflow.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=store.ROOT, stdout=log, stderr=log, start_new_session=True)
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
    """The processes that run a node in a workspace."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            command = (folder / "cmdline").read_bytes().split(b"\0")
            variables = (folder / "environ").read_bytes().split(b"\0")
            is_node = b"run-node" in command and b"--node" in command and command[-2] == node.encode()
            if is_node and f"WDR_WORKSPACE={workspace}".encode() in variables:
                found.append(int(folder.name))
    return found


def kill(deployment: Deployment, node: str, end: float) -> None:
    """Kills the process of a node, once its execution has begun."""
    folder, found = deployment.workspace / "artifacts" / node / ".system", []
    before = set(folder.rglob("*"))
    while set(folder.rglob("*")) <= before or not (found := processes(deployment.workspace, node)):
        assert time.monotonic() < end, f"{node} was never started: {deployment.folder / 'airflow.log'}"
        time.sleep(0.01)
    for process in found:
        os.kill(process, signal.SIGKILL)


def run_day(deployment: Deployment, logs: Path, span: int) -> Day:
    """Lets a day's logs appear, kills one of its nodes, and waits for its push."""
    node, started = KILLED[(span - 1) % len(KILLED)], time.monotonic()
    end = started + _DAY_SECONDS
    for source in ("catalog", "users", "installs", "impressions"):
        (deployment.data / source).mkdir(parents=True, exist_ok=True)
        shutil.copytree(logs / source / f"day-{span}", deployment.data / source / f"day-{span}")
    kill(deployment, node, end)
    while (report := report_of(deployment.workspace, span)) is None:
        assert time.monotonic() < end, f"span {span} was not done: {deployment.folder / 'airflow.log'}"
        time.sleep(0.5)
    return Day(
        span=span,
        killed=node,
        tries=deployment.tries(span - 1, node),
        version=report["version"],
        warm_started_from=report["training"]["warm_started_from"],
        auc=report["metrics"]["auc"],
        seconds=time.monotonic() - started,
    )


def report_of(workspace: Path, span: int) -> dict[str, Any] | None:
    """The report of a span's run; None if it is not done."""
    for path in (workspace / "reports").glob("*.json"):
        report: dict[str, Any] = json.loads(path.read_text())
        if report["counts"]["span"] == span:
            return report
    return None


def problems(deployment: Deployment, days: Sequence[Day]) -> list[str]:
    """What is not as it must be, a sentence each."""
    found = []
    for day in days:
        before = day.span - 1
        if day.version != day.span:
            found.append(f"day {day.span} must push version {day.span}. Received: {day.version}")
        models = [] if before == 0 else [model_of(deployment.workspace, before)]
        if ([day.warm_started_from] if day.warm_started_from else []) != models:
            found.append(f"day {day.span} must start from {models}. Received: {day.warm_started_from}")
        if day.tries != 2:
            found.append(f"{day.killed} of day {day.span} was killed, and must be tried twice. Received: {day.tries}")
    states = deployment.run_states()[: len(days)]
    if states != ["success"] * len(days):
        found.append(f"Airflow must call every run a success. Received: {states}")
    return found


def model_of(workspace: Path, version: int) -> str:
    """The place of the model that was pushed as a version, as a training names it."""
    manifest = workspace / "serving" / store.NAME / str(version) / "assets.extra" / "manifest.json"
    return f"{json.loads(manifest.read_text())['model_uri']}/Format-Serving"


def run(folder: Path, airflow: str, num_days: int, console: Console) -> tuple[list[Day], list[str], float]:
    """Runs the campaign.

    Args:
      folder: Empty; for everything.
      airflow: Airflow's version.
      num_days: How many days.
      console: For the progress.

    Returns:
      The days; what is not as it must be; and how long Airflow takes to parse the DAG, in seconds.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        deployment = Deployment(folder, airflow, free.getsockname()[1])
    logs = store.simulate(folder / "logs", days=num_days)
    deployment.data.mkdir()
    start = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=num_days)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    days = []
    with running(deployment, deployment.config(start), start), Progress(*columns, console=console) as progress:
        for span in progress.track(range(1, num_days + 1), description="days"):
            days.append(run_day(deployment, logs, span))
            progress.console.print(f"day {span}: {days[-1]}")
        end = time.monotonic() + 120
        while "running" in deployment.run_states()[:num_days] and time.monotonic() < end:
            time.sleep(2)
        found = problems(deployment, days)
        (dag,) = json.loads(deployment.airflow_says("dags", "report", "-o", "json"))
    hours, minutes, seconds = map(float, dag["duration"].split(":"))
    return days, found, seconds + 60 * minutes + 3600 * hours


def table_of(days: Sequence[Day]) -> Table:
    """The days as a table."""
    table = Table("span", "killed", "tries", "version", "warm-started from", "AUC", "seconds")
    for day in days:
        table.add_row(
            str(day.span), day.killed, str(day.tries), str(day.version), day.warm_started_from or "—",
            f"{day.auc:.4f}", f"{day.seconds:.0f}",
        )  # fmt: skip
    return table


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--airflow", choices=("3.3", "2.11"), default="3.3")
    parser.add_argument("--days", type=int, default=3)
    options = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        days, found, parse_seconds = run(Path(folder), options.airflow, options.days, console)
    console.print(table_of(days))
    console.print(f"Airflow {options.airflow} parses the DAG in {parse_seconds:.2f} s")
    for problem in found:
        console.print(f"[red]{problem}[/red]")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
