"""Simulated days on a real Airflow: its scheduler runs them one after another, and one task of each day is killed.

    python -m tests.soak.airflow [--airflow 3.3|2.11] [--metadata sqlite|postgresql] [--days 3] [--group]
                                [--screenshot FILE]

`deploy/airflow/standalone.py` starts Airflow with the small store's DAG. A day's logs appear when the day before has
been pushed. In each day, the process of one node is killed with SIGKILL. If ML Metadata is on PostgreSQL, the server
stops for a minute in the middle of the second day. Exits with code 1 if a day is not pushed, does not build on the day
before, was not retried, or gives another result than `wdr run`; or if Airflow's page, in a browser, does not show
exactly the compiled pipeline's tasks, all of them green.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.cli.options import quiet_imports
from tests.e2e import store
from tests.e2e.bad_store import ok_in_process
from tests.soak import postgresql
from tests.soak.airflow_deployment import Deployment, await_node, running
from tests.soak.airflow_page import graph_of
from tests.soak.backfill import arrive
from tests.soak.postgresql import PostgreSQL

with quiet_imports():
    from tests.soak.same_days import differences, report_of, unchained

#: The nodes to kill, one per day, in turn.
KILLED = ("transform", "trainer", "push")

#: The day and the node during which ML Metadata's server is stopped, and for how long.
OUTAGE_SPAN, OUTAGE_NODE, OUTAGE_SECONDS = 2, "infra_validation", 60

#: The maximum duration of a day, on a busy machine.
_DAY_SECONDS = 1800


@dataclasses.dataclass(frozen=True)
class Day:
    """The result of a day.

    Attributes:
      span: The day's span.
      killed: The node whose process was killed.
      tries: How many times Airflow started it.
      outage_tries: How many times it started the node during which ML Metadata stopped; None without an outage.
      version: The version that the day pushed.
      auc: The model's AUC.
      seconds: From the logs' appearance to the push.
    """

    span: int
    killed: str
    tries: int
    outage_tries: int | None
    version: int | None
    auc: float
    seconds: float


def run_day(deployment: Deployment, logs: Path, span: int) -> Day:
    """Makes a day's logs appear, kills one of its nodes, and waits for its push."""
    node, started = KILLED[(span - 1) % len(KILLED)], time.monotonic()
    end = started + _DAY_SECONDS
    arrive(logs, deployment.data, span)
    for process in await_node(deployment, node, end):
        os.kill(process, signal.SIGKILL)
    has_outage = deployment.database is not None and span == OUTAGE_SPAN
    if deployment.database is not None and has_outage:
        await_node(deployment, OUTAGE_NODE, end)
        deployment.database.stop()
        time.sleep(OUTAGE_SECONDS)
        deployment.database.start()
    while (report := report_of(deployment.workspace, span)) is None:
        assert time.monotonic() < end, f"span {span} was not done: {deployment.folder / 'airflow.log'}"
        time.sleep(0.5)
    return Day(
        span=span,
        killed=node,
        tries=deployment.tries(span - 1, node),
        outage_tries=deployment.tries(span - 1, OUTAGE_NODE) if has_outage else None,
        version=report["version"],
        auc=report["metrics"]["auc"],
        seconds=time.monotonic() - started,
    )


def problems(deployment: Deployment, days: Sequence[Day]) -> list[str]:
    """The violated requirements, one sentence each."""
    found = unchained(deployment.workspace, [day.span for day in days])
    for day in days:
        if day.tries != 2:
            found.append(f"{day.killed} of day {day.span} was killed, and must be tried twice. Received: {day.tries}")
        if day.outage_tries is not None and day.outage_tries < 2:
            found.append(f"{OUTAGE_NODE} of day {day.span} had no ML Metadata, and must be tried again")
    states = [run["state"] for run in deployment.runs()[: len(days)]]
    if states != ["success"] * len(days):
        found.append(f"Airflow must call every run a success. Received: {states}")
    return found


def run_by_wdr(deployment: Deployment, days: Sequence[Day]) -> Path:
    """Runs the days with `wdr run`, with ML Metadata in a file; returns the workspace."""
    by_run = deployment.folder / "by-run"
    for day in days:
        ok_in_process(*store.run_arguments(deployment.data, by_run, day.span))
    return by_run


def wrong_graph(graph: Mapping[str, str], deployment: Deployment) -> list[str]:
    """The errors of a run's graph in the browser, one sentence each."""
    tasks = {"wait_for_logs", *(nodes[0] for nodes in deployment.tasks())}
    found = (
        [f"the graph must have the tasks {sorted(tasks)}. Received: {sorted(graph)}"] if graph.keys() != tasks else []
    )
    return found + [f"{task} must be shown as success. Received: {s}" for task, s in graph.items() if s != "success"]


def run(
    folder: Path,
    airflow: str,
    num_days: int,
    console: Console,
    database: PostgreSQL | None,
    screenshot: Path | None,
    by_run: Path | None = None,
    *,
    group: bool = False,
) -> tuple[list[Day], list[str], float]:
    """Runs the campaign.

    Args:
      folder: An empty folder for everything.
      airflow: Airflow's version.
      num_days: The number of days.
      console: Shows the progress.
      database: The PostgreSQL server for ML Metadata; None for SQLite.
      screenshot: The file for a picture of Airflow's page; None to check no page.
      by_run: A workspace in which `wdr run` has run the days of the same store; None to run them.
      group: Whether resolvers and gates run in the task of the node before them.

    Returns:
      The days; the violated requirements; and how long Airflow takes to parse the DAG, in seconds.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        deployment = Deployment(folder, airflow, free.getsockname()[1], database, group)
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
        while any(run["state"] == "running" for run in deployment.runs()[:num_days]) and time.monotonic() < end:
            time.sleep(2)
        found = problems(deployment, days)
        for day, dag_run in zip(days, deployment.runs(), strict=False):
            progress.console.print(f"day {day.span}: tasks of {deployment.task_seconds(dag_run['run_id']):.0f} s")
        if screenshot is not None:
            address, last = f"http://127.0.0.1:{deployment.port}", deployment.runs()[num_days - 1]["run_id"]
            graph = graph_of(address, store.NAME, last, deployment.password, screenshot)
            found += wrong_graph(graph, deployment)
        (dag,) = json.loads(deployment.airflow_says("dags", "report", "-o", "json"))
    hours, minutes, seconds = map(float, dag["duration"].split(":"))
    by_run = by_run or run_by_wdr(deployment, days)
    found += [words for day in days for words in differences(day.span, by_run, deployment.workspace)]
    return days, found, seconds + 60 * minutes + 3600 * hours


def table_of(days: Sequence[Day]) -> Table:
    """The days as a table."""
    table = Table("span", "killed", "tries", "tries in the outage", "version", "AUC", "seconds")
    for day in days:
        table.add_row(
            str(day.span), day.killed, str(day.tries), str(day.outage_tries or "—"), str(day.version),
            f"{day.auc:.4f}", f"{day.seconds:.0f}",
        )  # fmt: skip
    return table


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--airflow", choices=("3.3", "2.11"), default="3.3")
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument(
        "--metadata", choices=("sqlite", "postgresql"), default="sqlite", help="ML Metadata's database."
    )
    parser.add_argument(
        "--group", action="store_true", help="Run resolvers and gates in the task of the node before them."
    )
    parser.add_argument("--screenshot", type=Path, help="Where to put a picture of Airflow's page.")
    options = parser.parse_args()
    console = Console(highlight=False)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        is_server = options.metadata == "postgresql"
        database = stack.enter_context(postgresql.running()) if is_server else None
        picture = options.screenshot or folder / "airflow.png"
        days, found, parse_seconds = run(
            folder, options.airflow, options.days, console, database, picture, group=options.group
        )
    console.print(table_of(days))
    console.print(f"Airflow {options.airflow} parses the DAG in {parse_seconds:.2f} s")
    for problem in found:
        console.print(f"[red]{problem}[/red]")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
