"""The DAG of a compiled pipeline: `wdr compile CONFIG --target airflow --out FOLDER` copies this file to FOLDER.

It imports only Airflow (2.11 or 3), nothing of TFX, and of this project only `addresses.py`, which is copied beside it,
so that Airflow parses it quickly. Each task runs `wdr run-node` in the pipeline's own environment, or in a pod if
WDR_IMAGE is set: for one node, or, after `wdr compile --group`, for a node and the resolvers and gates after it. A
task's name lists its nodes.

Environment variables of Airflow's scheduler and workers:
  WDR_DATA, WDR_WORKSPACE  The folder of logs, and the folder for everything that a run writes.
  WDR_COMMAND              The `wdr` of the pipeline's environment; default `wdr`.
  WDR_METADATA_URL         ML Metadata on a database server (a secret: only for the tasks).
  WDR_IMAGE, WDR_NAMESPACE, WDR_CLAIM, WDR_SECRET, WDR_PULL_SECRET
                           For pods: the image, the namespace, the persistent volume claim that holds both folders, the
                           secret whose entries become the pods' environment, and the secret to pull the image with.
  WDR_ALERT_URL            Receives a POST with a JSON object for each failed run; it may have a user and a password.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import posixpath
import re
import runpy
import urllib.parse
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

#: The functions of `pipeline/addresses.py`.
ADDRESSES = runpy.run_path(str(HERE / "addresses.py"))

#: The schema version of the topology that this file reads. `wdr compile` writes both files.
SCHEMA_VERSION = 1


def read_topology(file: Path) -> dict[str, Any]:
    """Reads the topology; raises ValueError if another version of `wdr compile` wrote it.

    The product's own validator of this document is not in Airflow's environment.
    """
    topology: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if topology.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(
            f"a compiled pipeline's topology must have `schema_version` {SCHEMA_VERSION}; compile it again. "
            f"Received: {topology.get('schema_version', 'none')} ({file})"
        )
    return topology


TOPOLOGY = read_topology(HERE / "topology.json")
SCHEDULE = TOPOLOGY["schedule"]
ZONE = ZoneInfo(SCHEDULE["timezone"])
START = datetime.date.fromisoformat(SCHEDULE["start"])

#: Airflow 2 treats a sensor's timeout as a failure and retries it, so the waiting time is divided by the attempts.
NUM_WAITS = SCHEDULE["retries"] + 1 if IS_AIRFLOW_2 else 1

#: The user and the group of the image's processes, as in the Dockerfile.
IMAGE_USER = 10001

#: How long a pod may take to start, in seconds: a new machine first pulls the image, which has several GB.
POD_START_SECONDS = 1800

#: Exit code of `wdr run-node` if a gate on data stopped the run; Airflow then skips the rest of the run.
SKIPPED = 99

#: Environment variables that describe the run, for every task.
RUN = {
    "WDR_RUN_ID": "{{ run_id }}",
    "WDR_SPAN": "{{ span_of(data_interval_start | default(none), dag_run) }}",
}


def day_of(interval_start: datetime.datetime | None, run: Any) -> datetime.date:
    """Returns the day whose logs a run reads.

    It is the day of the `span` given in the run's conf; without one, the day on which the run's data interval begins;
    for a run that was triggered manually and has no interval, the day before.
    """
    if run.conf and "span" in run.conf:
        return START + datetime.timedelta(days=int(run.conf["span"]) - SCHEDULE["first_span"])
    if interval_start is not None:
        return interval_start.astimezone(ZONE).date()
    started: datetime.datetime = run.run_after
    return started.astimezone(ZONE).date() - datetime.timedelta(days=1)


def span_of(interval_start: datetime.datetime | None, run: Any) -> int:
    """Returns the span of a run's logs; if paths contain dates, the days since 1970-01-01, as TFX numbers spans."""
    return int(SCHEDULE["first_span"]) + (day_of(interval_start, run) - START).days


def marker_path(interval_start: datetime.datetime | None, run: Any) -> str:
    """Returns the path of the file whose existence means that a run's logs are complete."""
    day, span = day_of(interval_start, run), str(span_of(interval_start, run))
    marker = re.sub(r"\{SPAN(?::(\d+))?\}", lambda found: span.zfill(int(found[1] or 0)), SCHEDULE["marker"])
    for token, value in {"{YYYY}": f"{day:%Y}", "{MM}": f"{day:%m}", "{DD}": f"{day:%d}"}.items():
        marker = marker.replace(token, value)
    return posixpath.join(os.environ.get("WDR_DATA", "/data"), marker)


def waiting_seconds(due: datetime.datetime | None, now: datetime.datetime) -> float:
    """Returns how long a try of a run waits for its logs: until `wait_seconds` after the run was due, at most.

    A run that is older than that looks once. Otherwise, each past day without logs would block the later ones for
    `wait_seconds`, as runs follow one after another. A run without a data interval waits from `now` on.
    """
    longest = float(SCHEDULE["wait_seconds"]) / NUM_WAITS
    if due is None:
        return longest
    left = (due - now).total_seconds() + float(SCHEDULE["wait_seconds"])
    return max(1.0, min(longest, left))


class LogsSensor(FileSensor):  # type: ignore[misc]
    """Waits for the file that says that a run's logs are complete, `waiting_seconds` long."""

    def execute(self, context: Any) -> None:
        """Looks for the file, and defers the task if it is not there."""
        self.timeout = waiting_seconds(context.get("data_interval_end"), datetime.datetime.now(datetime.UTC))
        super().execute(context)


def tell_failure(context: dict[str, Any]) -> None:
    """Reports a failed run to WDR_ALERT_URL, after its retries are exhausted.

    Raises:
      ValueError: If it has credentials and is no URL. Neither this message nor another one has them.
      OSError: If it cannot be reached, or does not answer with a success.
    """
    url = os.environ.get("WDR_ALERT_URL")
    if not url:
        return
    if mistake := ADDRESSES["hidden_mistake"]("WDR_ALERT_URL", url):
        raise ValueError(mistake)
    parts, headers = urllib.parse.urlsplit(url), {"Content-Type": "application/json"}
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    run = context["dag_run"]
    reported = {"dag": run.dag_id, "run": run.run_id, "reason": str(context.get("reason", ""))}
    address = ADDRESSES["without_credentials"](url)  # urllib takes them for a part of the host
    request = urllib.request.Request(  # noqa: S310 (the operator's own address)
        address, json.dumps(reported).encode(), headers, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310
        pass


def make_task(nodes: list[str]) -> BashOperator:
    """Returns the task of some nodes, which it runs one after another; its id is the first one's."""
    if os.environ.get("WDR_IMAGE"):
        return pod_task(nodes)
    options = " ".join(f"--node {node}" for node in nodes)
    return BashOperator(
        task_id=nodes[0],
        task_display_name=" + ".join(nodes),
        bash_command=f'exec "${{WDR_COMMAND:-wdr}}" run-node --compiled "$WDR_COMPILED" {options}',
        env={**RUN, "WDR_COMPILED": str(HERE)},
        append_env=True,
        skip_on_exit_code=SKIPPED,
    )


def pod_task(nodes: list[str]) -> Any:
    """Returns the task of some nodes in a Kubernetes pod, which asks for what the first node asks for."""
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from kubernetes.client import models as k8s

    node = nodes[0]
    pod = SCHEDULE["pods"].get(node, SCHEDULE["pods"]["default"])
    asked = {"cpu": pod["cpu"], "memory": pod["memory"]}
    return KubernetesPodOperator(
        task_id=node,
        task_display_name=" + ".join(nodes),
        name=f"{TOPOLOGY['name']}-{node}".replace("_", "-"),
        namespace=os.environ.get("WDR_NAMESPACE", "default"),
        image=os.environ["WDR_IMAGE"],
        # With an init, as in the image's entrypoint, so that SIGTERM reaches the node and Beam's workers are reaped.
        cmds=["tini", "--", "wdr", "run-node"],
        arguments=["--compiled", str(HERE), *(word for name in nodes for word in ("--node", name))],
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
        labels={"sends-beam-jobs": "true"},  # deploy/beam/flink.yaml lets such pods reach Beam's job server
        automount_service_account_token=False,  # the pod does not call the Kubernetes API
        image_pull_secrets=[k8s.V1LocalObjectReference(name=os.environ["WDR_PULL_SECRET"])]
        if os.environ.get("WDR_PULL_SECRET")
        else [],
        # As the standard `restricted` of Kubernetes' Pod Security asks for; the user is the image's.
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=IMAGE_USER,
            run_as_group=IMAGE_USER,
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        container_security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False, capabilities=k8s.V1Capabilities(drop=["ALL"])
        ),
        startup_timeout_seconds=POD_START_SECONDS,
        skip_on_exit_code=SKIPPED,
        # Also a pod that failed or did not start in time: it would start later, beside the task's next try. Airflow
        # keeps its log.
        on_finish_action="delete_pod",
    )


with DAG(
    dag_id=TOPOLOGY["name"],
    schedule=CronDataIntervalTimetable(SCHEDULE["cron"], timezone=SCHEDULE["timezone"]),
    start_date=datetime.datetime.combine(START, datetime.time(), ZONE),
    catchup=SCHEDULE["catchup"],
    max_active_runs=1,
    on_failure_callback=tell_failure,
    user_defined_macros={"span_of": span_of, "marker_path": marker_path},
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
    logs = LogsSensor(
        task_id="wait_for_logs",
        filepath="{{ marker_path(data_interval_start | default(none), dag_run) }}",
        deferrable=True,
        poke_interval=SCHEDULE["poll_seconds"],
        execution_timeout=None,
    )
    tasks = {nodes[0]: make_task(nodes) for nodes in TOPOLOGY["tasks"]}
    first_of = {node: nodes[0] for nodes in TOPOLOGY["tasks"] for node in nodes}
    upstream_of: dict[str, set[str]] = {first: set() for first in tasks}
    for node in TOPOLOGY["nodes"]:
        upstream_of[first_of[node["id"]]] |= {first_of[name] for name in node["upstream"]}
    for first, upstream in upstream_of.items():
        tasks[first].set_upstream([tasks[name] for name in sorted(upstream - {first})] or logs)
