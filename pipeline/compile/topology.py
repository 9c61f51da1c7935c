"""The topology of a compiled pipeline: its nodes and its schedule, as a scheduler's file reads them."""

from __future__ import annotations

import dataclasses
import datetime
import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from components.ingestion.spans import SPAN_TOKENS
from pipeline.nodes.names import ROW_NODES
from transform.config.config import Config
from transform.config.schedule import SUCCESS_MARKER, Pod, Schedule
from transform.documents import CONFIG, Document
from transform.errors import InputError

_EPOCH = datetime.date(1970, 1, 1)

#: Memory that a pod asks for each of its workers, in GiB.
_WORKER_GIB = 1


@dataclass(frozen=True, config=CONFIG)
class Node:
    """A node of the pipeline.

    Attributes:
      id: Its name.
      upstream: The nodes that it runs after.
    """

    id: str
    upstream: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class CompiledSchedule(Schedule):
    """The config's schedule, with the values that a scheduler needs and the config leaves to defaults.

    Attributes:
      first_span: The span of the logs of the day `start`; where paths have dates, days since 1970-01-01, as TFX numbers
        spans.
      marker: The file below the data folder whose existence means that a span's logs are complete.
      pods: By node, what it asks of a cluster; `default`, for the others, is always there.
    """

    marker: str = Field()
    pods: dict[str, Pod] = Field()

    @classmethod
    def of(cls, config: Config) -> CompiledSchedule:
        """Returns a deployment's schedule."""
        schedule = config.schedule
        log_path = max(config.sources.impressions.paths.values(), key=lambda path: any(t in path for t in SPAN_TOKENS))
        return cls(
            **{field.name: getattr(schedule, field.name) for field in dataclasses.fields(schedule)}
            | {
                "pods": _pods(config),
                "marker": schedule.marker or posixpath.join(posixpath.dirname(log_path), SUCCESS_MARKER),
                "first_span": (schedule.start - _EPOCH).days if "{YYYY}" in log_path else schedule.first_span,
            }
        )


@dataclass(frozen=True, config=CONFIG)
class Topology:
    """The topology of a compiled pipeline, `topology.json` in its folder.

    Attributes:
      name: The pipeline's name.
      code: The fingerprint of the code that it was compiled with.
      schedule: When a run is due, and how it is retried.
      nodes: The nodes, in an order in which they can run.
      tasks: The nodes of each of the scheduler's tasks, which runs them one after another; the tasks are in the order
        of their nodes. Without `wdr compile --group`, each task has one node.
      schema_version: The version of this dataclass's schema.
    """

    name: str
    code: str
    schedule: CompiledSchedule
    nodes: tuple[Node, ...]
    tasks: tuple[tuple[str, ...], ...]
    schema_version: Literal[1] = 1

    def to_json(self) -> str:
        """Returns the topology as JSON."""
        return _DOCUMENT.to_json(self)

    def upstream_of(self, task: Sequence[str]) -> list[tuple[str, ...]]:
        """Returns the tasks that a task runs after."""
        task_of = {node: each for each in self.tasks for node in each}
        names = {name for node in self.nodes if node.id in task for name in node.upstream}
        return [each for each in self.tasks if each != tuple(task) and any(task_of[name] == each for name in names)]

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Topology:
        """Reads a topology; raises InputError for another text, which it says was found at `where`."""
        return _DOCUMENT.from_json(text, where)


def grouped(nodes: Sequence[str], trivial: Collection[str], alone: Collection[str] = ()) -> tuple[tuple[str, ...], ...]:
    """Groups nodes into tasks: a trivial node joins the task of the node before it, any other begins a task.

    Each task has consecutive nodes of an order in which they can run, so the tasks can run in their order.

    Args:
      nodes: The nodes, in an order in which they can run.
      trivial: The nodes that join the task of the node before them.
      alone: The nodes whose tasks no other node joins.
    """
    tasks: list[list[str]] = []
    for node in nodes:
        if tasks and node in trivial and tasks[-1][0] not in alone:
            tasks[-1].append(node)
        else:
            tasks.append([node])
    return tuple(map(tuple, tasks))


def check_pods(pods: Mapping[str, Pod], tasks: Sequence[Sequence[str]], optional: Collection[str] = ()) -> None:
    """Checks that each pod of the config is a node's, and that the node can have it: a task has its first node's pod.

    Args:
      pods: The config's `schedule.pods`.
      tasks: The nodes of each task.
      optional: Nodes that the pipelines of other configs have; a pod for one of them is accepted.

    Raises:
      InputError: If a pod is neither `default` nor a node's, or differs from that of its task's first node.
    """
    known = {"default", *optional, *(node for task in tasks for node in task)}
    if unknown := sorted(pods.keys() - known):
        raise InputError(
            f"`schedule.pods` must name nodes, or `default`, for the others: {', '.join(sorted(known))}. "
            f"Received: {', '.join(unknown)}"
        )
    for first, *others in tasks:
        of_task = pods.get(first, pods.get("default", Pod()))
        for node in others:
            if pods.get(node, of_task) != of_task:
                raise InputError(
                    f"with `--group`, nodes of one task share a pod, that of `{first}`: `schedule.pods.{node}` must be "
                    f"the same, or left out. Received: {_asked(pods[node])}; `{first}` has {_asked(of_task)}"
                )


def _asked(pod: Pod) -> str:
    return f"cpu {pod.cpu}, memory {pod.memory}, node_selector {pod.node_selector}"


def _pods(config: Config) -> dict[str, Pod]:
    """Returns the config's pods and `default`; without a `default`, row nodes have a processor for each worker."""
    pods, workers = config.schedule.pods, config.beam.num_workers
    sized = Pod(cpu=str(workers), memory=f"{4 + _WORKER_GIB * workers}Gi")
    of_rows = dict.fromkeys(ROW_NODES, sized) if workers > 1 and "default" not in pods else {}
    return {"default": Pod(), **of_rows, **pods}


_DOCUMENT = Document(Topology, "a compiled pipeline's topology")


def marker_path(schedule: CompiledSchedule, data_root: str, span: int) -> str:
    """Returns the path of the file whose existence means that a span's logs are complete."""
    day = schedule.start + datetime.timedelta(days=span - schedule.first_span)
    tokens = {"{YYYY}": f"{day:%Y}", "{MM}": f"{day:%m}", "{DD}": f"{day:%d}"}
    marker = re.sub(r"\{SPAN(?::(\d+))?\}", lambda found: str(span).zfill(int(found[1] or 0)), schedule.marker)
    for token, value in tokens.items():
        marker = marker.replace(token, value)
    return posixpath.join(data_root, marker)
