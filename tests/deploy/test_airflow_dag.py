"""The DAG in the supported Airflow versions: its tasks, their commands, and the span and the logs of a run."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.compile.compiled import write_compiled
from pipeline.compile.targets import write_target
from tests.deploy.airflow_environment import STANDALONE, environment
from tests.e2e.store import CONFIG
from transform.config.config_file import load_config

pytestmark = pytest.mark.slow

#: Prints what a DAG file declares.
_PRINT_DAG = """
import datetime, json, runpy, sys, types
found = runpy.run_path(sys.argv[1])
dag, utc = found["dag"], datetime.timezone.utc
begins = datetime.datetime(2026, 3, 1, 4, tzinfo=utc)
run = types.SimpleNamespace(conf={}, run_after=datetime.datetime(2026, 3, 9, 12, tzinfo=utc))
asked = types.SimpleNamespace(conf={"span": "7"})
pods = [task for task in dag.tasks if type(task).__name__ == "KubernetesPodOperator"]
print(json.dumps({
    "id": dag.dag_id, "max_active_runs": dag.max_active_runs, "catchup": dag.catchup,
    "upstream": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
    "names": {task.task_id: task.task_display_name for task in dag.tasks},
    "commands": {task.task_id: task.bash_command for task in dag.tasks if type(task).__name__ == "BashOperator"},
    "kinds": {task.task_id: type(task).__name__ for task in dag.tasks},
    "retries": sorted({task.retries for task in dag.tasks}),
    "skips": sorted({str(task.skip_on_exit_code) for task in dag.tasks if hasattr(task, "skip_on_exit_code")}),
    "pods": {
        task.task_id: [task.image, task.cmds + task.arguments, task.container_resources.requests, task.node_selector]
        for task in pods
    },
    "labels": [task.labels for task in pods],
    "tokens": sorted({str(task.automount_service_account_token) for task in pods}),
    "ends": sorted({str(task.on_finish_action.value) for task in pods}),
    "start_seconds": sorted({task.startup_timeout_seconds for task in pods}),
    "pull_secrets": [secret.name for task in pods for secret in task.image_pull_secrets],
    "security": [
        [task.security_context.run_as_non_root, task.security_context.run_as_user,
         task.security_context.seccomp_profile.type, task.container_security_context.allow_privilege_escalation,
         task.container_security_context.capabilities.drop] for task in pods
    ],
    "waits": [
        found["waiting_seconds"](due, begins)
        for due in (None, begins, *(begins - datetime.timedelta(hours=hours) for hours in (1, 11, 12, 100)))
    ],
    "span": found["span_of"](begins, run), "marker": found["marker_path"](begins, run),
    "asked_span": found["span_of"](begins, asked), "asked_marker": found["marker_path"](begins, asked),
    "by_hand": found["span_of"](None, run),
}))
"""


@pytest.fixture(scope="module", params=STANDALONE["VERSIONS"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with one Airflow version."""
    return environment(tmp_path_factory, request.param) / "bin" / "python"


def loaded_dag(
    python: Path, folder: Path, sections: dict[str, Any], *, group: bool = False, **more: Any
) -> dict[str, Any]:
    """Returns what the DAG declares, for the small store's config with other sections."""
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load(CONFIG.read_text()), **sections}))
    topology = write_compiled(load_config(config), folder / "compiled", group=group)
    dag = write_target("airflow", topology, folder / "compiled")
    variables = {**os.environ, "AIRFLOW_HOME": str(folder), "WDR_DATA": "/logs", **more}
    command = [str(python), "-c", _PRINT_DAG, str(dag)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_each_node_is_a_task_and_comes_after_the_logs(python: Path, tmp_path: Path) -> None:
    found = loaded_dag(python, tmp_path, {"schedule": {"start": "2026-01-01", "first_span": 10, "retries": 5}})
    topology = json.loads((tmp_path / "compiled" / "topology.json").read_text())
    expected = {node["id"]: node["upstream"] or ["wait_for_logs"] for node in topology["nodes"]}
    assert found["upstream"] == {**expected, "wait_for_logs": []}
    kinds = {**dict.fromkeys(expected, "BashOperator"), "wait_for_logs": "LogsSensor"}
    assert found["kinds"] == kinds
    assert (found["id"], found["max_active_runs"], found["catchup"]) == ("small_store", 1, True)
    assert found["retries"] == [5]
    assert "[99]" in found["skips"]


def test_grouped_nodes_are_a_task_whose_name_lists_them(python: Path, tmp_path: Path) -> None:
    found = loaded_dag(python, tmp_path, {"schedule": {"start": "2026-01-01"}}, group=True)
    assert len(found["upstream"]) == 11  # ten tasks, and the sensor
    upstream = ["analyzer_cache", "example_gen", "infra_validation", "progressive_validation", "trainer"]
    assert found["upstream"]["evaluator"] == upstream
    assert found["names"]["evaluator"] == "evaluator + quality_gate"
    assert found["commands"]["evaluator"].endswith(" --node evaluator --node quality_gate")
    assert "[99]" in found["skips"]


def test_a_run_is_for_the_day_on_which_its_interval_begins(python: Path, tmp_path: Path) -> None:
    """2026-03-01 is 59 days after 2026-01-01, which is span 10."""
    marker = "impressions/{SPAN:4}.done"
    found = loaded_dag(python, tmp_path, {"schedule": {"start": "2026-01-01", "first_span": 10, "marker": marker}})
    assert (found["span"], found["marker"]) == (69, "/logs/impressions/0069.done")
    assert (found["asked_span"], found["asked_marker"]) == (7, "/logs/impressions/0007.done")
    assert found["by_hand"] == 76  # the span of 2026-03-08, the day before


def test_dates_are_counted_as_tfx_counts_them(python: Path, tmp_path: Path) -> None:
    """2026-03-01 is 20,513 days after 1970-01-01, which is span 0; in Honolulu it is still the day before."""
    sources = yaml.safe_load(CONFIG.read_text())["sources"]
    sources["impressions"]["path"] = "impressions/{YYYY}-{MM}-{DD}/part-*.csv"
    found = loaded_dag(python, tmp_path, {"sources": sources, "schedule": {"timezone": "Pacific/Honolulu"}})
    assert (found["span"], found["marker"]) == (20512, "/logs/impressions/2026-02-28/_SUCCESS")
    assert (found["asked_span"], found["asked_marker"]) == (7, "/logs/impressions/1970-01-08/_SUCCESS")


def test_a_run_waits_until_its_logs_are_late_and_an_old_one_looks_once(python: Path, tmp_path: Path) -> None:
    """By hand: it may wait 12 hours from when it is due, under Airflow 2 in two tries of 6; at least a second."""
    found = loaded_dag(python, tmp_path, {"schedule": {"wait_seconds": 12 * 3600, "retries": 1}})
    by_airflow_3 = [12 * 3600, 12 * 3600, 11 * 3600, 3600, 1, 1]
    assert found["waits"] in (by_airflow_3, [min(seconds, 6 * 3600) for seconds in by_airflow_3])


def test_on_a_cluster_each_node_is_a_pod(python: Path, tmp_path: Path) -> None:
    pods = {"default": {}, "trainer": {"cpu": "8", "memory": "32Gi", "node_selector": {"pool": "training"}}}
    cluster: dict[str, Any] = {"WDR_IMAGE": "store/wdr:7", "WDR_CLAIM": "storage", "WDR_SECRET": "mlmd"}
    cluster["WDR_PULL_SECRET"] = "registry"
    found = loaded_dag(python, tmp_path, {"schedule": {"pods": pods}}, **cluster)
    image, command, asked, selector = found["pods"]["trainer"]
    assert image == "store/wdr:7"
    expected = ["tini", "--", "wdr", "run-node", "--compiled", str(tmp_path / "compiled"), "--node", "trainer"]
    assert command == expected
    assert (asked, selector) == ({"cpu": "8", "memory": "32Gi"}, {"pool": "training"})
    assert found["tokens"] == ["False"]  # a node does not call the Kubernetes API
    assert found["pull_secrets"] == ["registry"] * len(found["pods"])
    assert found["security"] == [[True, 10001, "RuntimeDefault", False, ["ALL"]]] * len(found["pods"])
    assert (found["ends"], found["start_seconds"]) == (["delete_pod"], [1800])
    assert found["labels"] == [{"sends-beam-jobs": "true"}] * len(found["pods"])
    assert found["pods"]["push"][2:] == [{"cpu": "1", "memory": "4Gi"}, {}]
    assert set(found["kinds"]) - set(found["pods"]) == {"wait_for_logs"}


#: Reports a failed run as the DAG does.
_REPORT = """
import runpy, sys, types
run = types.SimpleNamespace(dag_id="store", run_id="scheduled__2026-03-01")
runpy.run_path(sys.argv[1])["tell_failure"]({"dag_run": run, "reason": "task_failure"})
"""


def reported(python: Path, folder: Path, url: str) -> str:
    """Reports a failed run to an address; returns what is printed."""
    topology = write_compiled(load_config(CONFIG), folder / "compiled")
    dag = write_target("airflow", topology, folder / "compiled")
    variables = {**os.environ, "AIRFLOW_HOME": str(folder), "WDR_ALERT_URL": url}
    done = subprocess.run([str(python), "-c", _REPORT, str(dag)], env=variables, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize("address", ["http://me:se/cret@localhost:1", "me:secret@localhost:1", "http//me:secret@host"])
def test_a_malformed_address_of_alerts_is_told_without_its_password(python: Path, tmp_path: Path, address: str) -> None:
    printed = reported(python, tmp_path, address)
    assert "ValueError: WDR_ALERT_URL must be SCHEME://USER:PASSWORD@HOST:PORT" in printed
    assert "cret" not in printed


def test_alerts_have_the_address_s_user_and_password(python: Path, tmp_path: Path) -> None:
    received: list[tuple[str | None, bytes]] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.headers["authorization"], content))
            self.send_response(200)
            self.end_headers()

    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        printed = reported(python, tmp_path, f"http://me:se%2Fcret@127.0.0.1:{server.server_port}/alerts")
        server.shutdown()
        thread.join()
    assert "cret" not in printed
    ((authorization, content),) = received
    assert authorization == "Basic bWU6c2UvY3JldA=="  # printf me:se/cret | base64
    assert json.loads(content) == {"dag": "store", "run": "scheduled__2026-03-01", "reason": "task_failure"}
