"""The pipeline for Kubeflow Pipelines 2: one step per node, which runs the node in the product's image.

The steps run the same code as under every other scheduler (`pipeline/runner/run_node.py`): a run reads its inputs from
the workspace and ML Metadata, not from Kubeflow's own metadata. Each step returns a report to Kubeflow.
"""

# No `from __future__ import annotations` here: Kubeflow evaluates the annotations of steps and pipeline.

import dataclasses
from pathlib import Path
from typing import Any

from kfp import compiler, dsl, kubernetes

from pipeline.compile.topology import Topology
from pipeline.nodes.names import EXAMPLE_GEN

#: The folder at which the persistent volume is mounted in each step.
STORAGE = "/storage"

#: The parameter `span` of a scheduled run: its span is the day before its scheduled time.
DAY_BEFORE = -1


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What a cluster provides to the pipeline.

    Attributes:
      image: The product's image.
      claim: A persistent volume claim with the logs in `data/`, the workspace in `workspace/`, and the compiled
        pipeline in `compiled/NAME/`.
      secret: A secret whose entry WDR_METADATA_URL is ML Metadata's database URL; empty for SQLite on the volume.
    """

    image: str
    claim: str
    secret: str = ""


def write_kubeflow(topology: Topology, cluster: Cluster, file: Path) -> None:
    """Writes a pipeline's specification (version 2.1) as YAML.

    Args:
      topology: The return value of `write_compiled`.
      cluster: What the cluster provides to the steps.
      file: The file to write, whose name ends in `.yaml`.
    """
    name, schedule = topology.name, topology.schedule
    steps = {task: _step(task, cluster.image) for task in topology.tasks}

    def pipeline(
        span: int = DAY_BEFORE,
        compiled: str = f"{STORAGE}/compiled/{name}",
        data: str = f"{STORAGE}/data",
        workspace: str = f"{STORAGE}/workspace",
    ) -> None:
        tasks: dict[tuple[str, ...], Any] = {}
        for nodes in topology.tasks:
            task = steps[nodes](
                span=span,
                scheduled=dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER,
                run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                compiled=compiled,
                data=data,
                workspace=workspace,
            )
            task.set_display_name(" + ".join(nodes))
            task.set_caching_options(enable_caching=False)  # TFX's cache considers external files; Kubeflow's does not
            first_wait = f"{schedule.retry_seconds:.0f}s"
            task.set_retry(schedule.retries, backoff_duration=first_wait, backoff_factor=2.0)
            pod = schedule.pods.get(nodes[0], schedule.pods["default"])
            task.set_cpu_request(pod.cpu).set_memory_request(pod.memory).set_memory_limit(pod.memory)
            for label, value in pod.node_selector.items():
                kubernetes.add_node_selector(task, label, value)
            # deploy/beam/flink.yaml lets pods with this label reach Beam's job server.
            kubernetes.add_pod_label(task, "sends-beam-jobs", "true")
            kubernetes.mount_pvc(task, pvc_name=cluster.claim, mount_path=STORAGE)
            waiting = schedule.wait_seconds if EXAMPLE_GEN in nodes else 0.0  # for the logs
            kubernetes.set_timeout(task, seconds=int(schedule.timeout_seconds + waiting))
            if cluster.secret:
                kubernetes.use_secret_as_env(task, cluster.secret, {"WDR_METADATA_URL": "WDR_METADATA_URL"})
            tasks[nodes] = task.after(*(tasks[upstream] for upstream in topology.upstream_of(nodes)))

    compiler.Compiler().compile(dsl.pipeline(name=name.replace("_", "-"))(pipeline), str(file))


def _step(nodes: tuple[str, ...], image: str) -> Any:
    options = [word for node in nodes for word in ("--node", node)]

    def step(  # type: ignore[no-untyped-def]
        span: int,
        scheduled: str,
        run_id: str,
        compiled: str,
        data: str,
        workspace: str,
        report: dsl.Output[dsl.Artifact],
    ):
        return dsl.ContainerSpec(
            image=image,
            command=["wdr", "kubeflow-step"],
            args=[*options, "--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER],
        )

    step.__name__ = nodes[0]  # by which Kubeflow's SDK (kfp 2.16.1) names the step
    return dsl.container_component(step)
