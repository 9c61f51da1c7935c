"""The DAG of a compiled pipeline: `wdr compile CONFIG --target airflow --out FOLDER` puts this file beside it.

It imports nothing of TFX and nothing of this project, only Airflow (2.11 and 3), and so it is parsed in a moment. Each
node is a task that runs `wdr run-node` in the pipeline's own environment, or, where WDR_IMAGE is set, in a pod.

What it takes from the environment of Airflow's scheduler and workers:
  WDR_DATA, WDR_WORKSPACE  The folder of logs, and the folder for everything a run makes.
  WDR_COMMAND              The `wdr` of the pipeline's environment; `wdr` if left out.
  WDR_METADATA_URL         ML Metadata on a database server (a secret: for the tasks alone).
  WDR_IMAGE, WDR_NAMESPACE, WDR_CLAIM, WDR_SECRET
                           For pods: the image, the namespace, the persistent volume claim that holds both folders, and
                           the secret whose entries become the pods' environment.
  WDR_ALERT_URL            Where a failed run is told of: a POST with a JSON object.
"""

from __future__ import annotations

import datetime
import json
import os
import posixpath
import re
import urllib.request
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.timetables.interval import CronDataIntervalTimetable

try:
    from airflow.sdk import DAG

    IS_AIRFLOW_2 = False
except ImportError:
    from airflow import DAG

    IS_AIRFLOW_2 = True

HERE = Path(__file__).resolve().parent
TOPOLOGY = json.loads((HERE / "topology.json").read_text(encoding="utf-8"))
SCHEDULE = TOPOLOGY["schedule"]
ZONE = ZoneInfo(SCHEDULE["timezone"])
START = datetime.date.fromisoformat(SCHEDULE["start"])

#: Airflow 2 takes a wait that was too long for a failure, and tries again.
NUM_WAITS = SCHEDULE["retries"] + 1 if IS_AIRFLOW_2 else 1

#: `wdr run-node` ends so where a gate on data stopped the run: the rest of it is skipped.
SKIPPED = 99

#: What a run says of itself, to every task.
RUN = {
    "WDR_RUN_ID": "{{ run_id }}",
    "WDR_SPAN": "{{ span_of(data_interval_start | default(none), dag_run) }}",
}


def day_of(interval_start: datetime.datetime | None, run: Any) -> datetime.date:
    """The day whose logs a run is for.

    That of the `span` it was asked for; else the one that its interval begins on; else, of a run that was started by
    hand and has no interval, the day before.
    """
    if run.conf and "span" in run.conf:
        return START + datetime.timedelta(days=int(run.conf["span"]) - SCHEDULE["first_span"])
    if interval_start is not None:
        return interval_start.astimezone(ZONE).date()
    started: datetime.datetime = run.run_after
    return started.astimezone(ZONE).date() - datetime.timedelta(days=1)


def span_of(interval_start: datetime.datetime | None, run: Any) -> int:
    """The span of a run's logs: where paths have dates, the days since 1970-01-01, as TFX counts."""
    return int(SCHEDULE["first_span"]) + (day_of(interval_start, run) - START).days


def marker_of(interval_start: datetime.datetime | None, run: Any) -> str:
    """The file that tells that a run's logs are complete."""
    day, span = day_of(interval_start, run), str(span_of(interval_start, run))
    marker = re.sub(r"\{SPAN(?::(\d+))?\}", lambda found: span.zfill(int(found[1] or 0)), SCHEDULE["marker"])
    for token, value in {"{YYYY}": f"{day:%Y}", "{MM}": f"{day:%m}", "{DD}": f"{day:%d}"}.items():
        marker = marker.replace(token, value)
    return posixpath.join(os.environ.get("WDR_DATA", "/data"), marker)


def tell_failure(context: dict[str, Any]) -> None:
    """Tells of a failed run, once its retries are used up."""
    url = os.environ.get("WDR_ALERT_URL")
    if not url:
        return
    run = context["dag_run"]
    told = {"dag": run.dag_id, "run": run.run_id, "reason": str(context.get("reason", ""))}
    request = urllib.request.Request(  # noqa: S310 (the operator's own address)
        url, json.dumps(told).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310
        pass


def node_task(node: str) -> BashOperator:
    """The task of a node."""
    if os.environ.get("WDR_IMAGE"):
        return pod_task(node)
    command = f'exec "${{WDR_COMMAND:-wdr}}" run-node --compiled "$WDR_COMPILED" --node {node}'
    return BashOperator(
        task_id=node,
        bash_command=command,
        env={**RUN, "WDR_COMPILED": str(HERE)},
        append_env=True,
        skip_on_exit_code=SKIPPED,
    )


def pod_task(node: str) -> Any:
    """The task of a node on a cluster."""
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from kubernetes.client import models as k8s

    pod = SCHEDULE["pods"].get(node, SCHEDULE["pods"]["default"])
    asked = {"cpu": pod["cpu"], "memory": pod["memory"]}
    return KubernetesPodOperator(
        task_id=node,
        name=f"{TOPOLOGY['name']}-{node}".replace("_", "-"),
        namespace=os.environ.get("WDR_NAMESPACE", "default"),
        image=os.environ["WDR_IMAGE"],
        cmds=["wdr", "run-node"],
        arguments=["--compiled", str(HERE), "--node", node],
        env_vars={**RUN, "WDR_DATA": "/storage/data", "WDR_WORKSPACE": "/storage/workspace"},
        env_from=[k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=os.environ["WDR_SECRET"]))]
        if os.environ.get("WDR_SECRET")
        else [],
        volumes=[
            k8s.V1Volume(
                name="storage",
                persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name=os.environ["WDR_CLAIM"]),
            )
        ],
        volume_mounts=[k8s.V1VolumeMount(name="storage", mount_path="/storage")],
        container_resources=k8s.V1ResourceRequirements(requests=asked, limits={"memory": pod["memory"]}),
        node_selector=pod["node_selector"],
        automount_service_account_token=False,  # it asks nothing of Kubernetes
        skip_on_exit_code=SKIPPED,
        on_finish_action="delete_succeeded_pod",
    )


with DAG(
    dag_id=TOPOLOGY["name"],
    schedule=CronDataIntervalTimetable(SCHEDULE["cron"], timezone=SCHEDULE["timezone"]),
    start_date=datetime.datetime.combine(START, datetime.time(), ZONE),
    catchup=SCHEDULE["catchup"],
    max_active_runs=1,
    on_failure_callback=tell_failure,
    user_defined_macros={"span_of": span_of, "marker_of": marker_of},
    default_args={
        "retries": SCHEDULE["retries"],
        "retry_delay": datetime.timedelta(seconds=SCHEDULE["retry_seconds"]),
        "retry_exponential_backoff": True,
        "max_retry_delay": datetime.timedelta(hours=1),
        "execution_timeout": datetime.timedelta(seconds=SCHEDULE["timeout_seconds"]),
    },
    doc_md=__doc__,
    tags=["wide-deep-ranker"],
) as dag:
    logs = FileSensor(
        task_id="wait_for_logs",
        filepath="{{ marker_of(data_interval_start | default(none), dag_run) }}",
        deferrable=True,
        poke_interval=SCHEDULE["poll_seconds"],
        timeout=SCHEDULE["wait_seconds"] / NUM_WAITS,
        execution_timeout=None,
    )
    tasks = {node["id"]: node_task(node["id"]) for node in TOPOLOGY["nodes"]}
    for node in TOPOLOGY["nodes"]:
        upstream = [tasks[name] for name in node["upstream"]]
        tasks[node["id"]].set_upstream(upstream or logs)
