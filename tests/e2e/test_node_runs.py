"""A pipeline run node by node by a scheduler: the same run as `wdr run`'s, and safe to retry.

`test_runbook.py` runs a later day, whose tasks are killed.
"""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from pipeline.compile.compiled import RunEnvironment, read_topology, write_compiled
from pipeline.runner.run_node import NodeResult, run_node
from pipeline.workspace import Workspace
from tests.e2e import store
from tests.e2e.bad_store import ok_in_process
from tests.e2e.prepared_store import read_rows, write_rows
from transform.config.config_file import load_config
from transform.errors import GateError, InputError, UnreadableError

pytestmark = pytest.mark.slow

RUN_ID = "scheduled__2026-01-02T04:00:00+00:00~1"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> RunEnvironment:
    """Three days of logs, and a workspace in which the first day was run node by node."""
    folder = tmp_path_factory.mktemp("store")
    return RunEnvironment(str(store.simulate(folder / "data", days=3)), Workspace.at(folder / "workspace"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    write_compiled(load_config(store.CONFIG), folder)
    return folder


def nodes(compiled: Path) -> list[str]:
    return [node.id for node in read_topology(compiled).nodes]


@pytest.fixture(scope="module")
def first_day(compiled: Path, environment: RunEnvironment) -> dict[str, NodeResult]:
    """All nodes' results, run as a scheduler's tasks, but in this process."""
    return {node: run_node(compiled, environment, node, 1, RUN_ID) for node in nodes(compiled)}


def report(environment: RunEnvironment, run: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((environment.workspace.reports / f"small_store.{run}.json").read_text())
    return found


def test_wdr_run_finds_all_but_the_push_in_the_cache(
    first_day: dict[str, NodeResult], environment: RunEnvironment
) -> None:
    assert {result.event.state for result in first_day.values()} == {"done"}
    assert store.versions(environment.workspace.root) == [1]
    _, outcome, written = first_day["push"]
    assert outcome is not None
    assert outcome.version == report(environment, f"{RUN_ID}.1")["version"] == 1
    assert written == environment.workspace.reports / f"small_store.{RUN_ID}.1.json"
    printed = ok_in_process(*store.run_arguments(Path(environment.data_root), environment.workspace.root, 1))
    assert set(store.nodes(printed)) - store.cached(printed) == store.RESOLVERS | {"push"}
    assert store.versions(environment.workspace.root) == [1]


def test_a_node_that_is_done_is_not_done_again(
    first_day: dict[str, NodeResult], compiled: Path, environment: RunEnvironment
) -> None:
    again = run_node(compiled, environment, "trainer", 1, RUN_ID)
    assert again.event.execution_id == first_day["trainer"].event.execution_id


def test_a_run_that_is_cleared_takes_in_logs_that_were_rewritten(
    first_day: dict[str, NodeResult], compiled: Path, environment: RunEnvironment
) -> None:
    """The run keeps its name, as in a scheduler; unchanged parts come from the cache."""
    assert run_node(compiled, environment, "example_gen", 1, RUN_ID).event.state == "cached"
    log = Path(environment.data_root) / "impressions" / "day-1" / "part-00000.csv"
    original = log.read_bytes()
    write_rows(log, read_rows(log)[:-10])
    try:
        run_node(compiled, environment, "example_gen", 1, RUN_ID)
        run_node(compiled, environment, "row_gate", 1, RUN_ID)
        newest = max(
            (environment.workspace.artifacts / "example_gen" / "quarantine").iterdir(), key=lambda p: int(p.name)
        )
        assert json.loads((newest / "counts.json").read_text())["read"]["impressions"] == 3990
    finally:
        log.write_bytes(original)


def test_a_disk_that_is_away_fails_the_node_so_that_a_scheduler_tries_again(
    compiled: Path, environment: RunEnvironment, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(environment.data_root, data)
    log = data / "impressions" / "day-3" / "part-00000.csv"
    log.rename(tmp_path / "log.csv")
    log.symlink_to("/proc/self/mem")  # it can be opened; reading its first byte fails
    broken = RunEnvironment(str(data), Workspace.at(tmp_path / "workspace"))
    with pytest.raises(UnreadableError):
        run_node(compiled, broken, "example_gen", 3, "day-3")
    found = report(broken, "day-3.1")
    assert (found["status"], found["failed_node"]) == ("failed", "example_gen")
    log.unlink()
    (tmp_path / "log.csv").rename(log)
    assert run_node(compiled, broken, "example_gen", 3, "day-3").event.state == "done"


def test_a_day_that_is_not_fit_is_skipped_on_record_until_it_is_accepted(
    environment: RunEnvironment, tmp_path: Path
) -> None:
    """Its gate ends the task, of several nodes, with the exit code that Airflow treats as "skipped"."""
    data, compiled = tmp_path / "data", tmp_path / "compiled"
    shutil.copytree(environment.data_root, data)
    log = data / "impressions" / "day-3" / "part-00000.csv"
    write_rows(log, [{**row, "timestamp": "never"} if i % 2 else row for i, row in enumerate(read_rows(log))])
    broken = RunEnvironment(str(data), Workspace.at(tmp_path / "workspace"))
    topology = write_compiled(load_config(store.CONFIG), compiled, group=True)
    (task,) = (nodes for nodes in topology.tasks if "row_gate" in nodes)
    where = (
        "--compiled", compiled, "--span", "3", "--run-id", "day-3", "--data", data,
        "--workspace", broken.workspace.root,
    )  # fmt: skip
    of_task = [option for node in task for option in ("--node", node)]
    run_node(compiled, broken, "example_gen", 3, "day-3")
    done = store.wdr("run-node", *of_task, *where)
    assert done.returncode == 99
    reported = done.stderr.strip().splitlines()[-1]
    assert reported.startswith("span 3 is skipped; the next run starts from the last good span: ")
    found = report(broken, "day-3.1")
    assert (found["span"], found["skipped_by"]) == (3, "row_gate")
    with pytest.raises(GateError):
        run_node(compiled, broken, "row_gate", 3, "day-3")
    advised = reported.removesuffix("`").partition(". To let it through, on record: `")[2]
    ok_in_process(*shlex.split(advised)[1:])
    printed = ok_in_process("run-node", *of_task, *where)
    assert [line.partition(":")[0] for line in printed.splitlines()] == list(task)
    assert not (broken.workspace.reports / "small_store.day-3.1.json").exists()


def test_what_is_asked_for_must_be_there(compiled: Path, environment: RunEnvironment) -> None:
    with pytest.raises(InputError, match=r"^a node is one of \['example_gen', .*\]\. Received: 'traner'"):
        run_node(compiled, environment, "traner", 1, "a-run")
    with pytest.raises(InputError, match=r"^a run's name has 1 to 200 of "):
        run_node(compiled, environment, "trainer", 1, "../a-run")
