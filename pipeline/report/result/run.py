"""A run's result: what report, console, page, Prometheus, OpenLineage and MLflow show, each as a function of it."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from components.data_validation.evidence import SpanEvidence
from components.evaluation.results import EvaluationResult
from components.gate_records import GateRecord
from components.ingestion.counts import Counts
from components.model_store.manifest import Manifest
from pipeline.report.records import Neighbours
from pipeline.report.run_report import RunReport
from transform.config.drift import Drift
from transform.config.evaluation import Evaluation

if TYPE_CHECKING:  # the modules that read these import what only a page needs
    from pipeline.report.result.feature_drift import FeatureDrift
    from pipeline.report.result.scores import Histogram
    from pipeline.report.result.statistics import Statistics

_Content = TypeVar("_Content")


@dataclasses.dataclass(frozen=True)
class Reading(Generic[_Content]):
    """The content of an artifact, or the error that reading it raised: only a view that shows the content meets it."""

    content: _Content | None = None
    error: Exception | None = None

    @classmethod
    def of(cls, read: Callable[[], _Content]) -> Reading[_Content]:
        """Reads now."""
        try:
            return cls(read())
        except Exception as error:
            return cls(error=error)

    def get(self) -> _Content:
        """Returns the content; raises the error of the reading."""
        if self.error is not None:
            raise self.error
        return cast(_Content, self.content)


@dataclasses.dataclass(frozen=True)
class Output:
    """An artifact that a node made, took from the cache, or resolved.

    Attributes:
      kind: Its type in ML Metadata.
      uri: Its folder.
      span: The span of its property `span`; None if it has none.
      is_resolved: Whether the node is a resolver, which found the artifact and did not make it.
    """

    kind: str
    uri: str
    span: int | None
    is_resolved: bool = False


@dataclasses.dataclass(frozen=True)
class Node:
    """A node of the run.

    Attributes:
      name: Its name.
      state: `done`, `from the cache`, `failed`, `canceled` or `running`.
      started: When it started.
      seconds: How long it took.
      outputs: Its artifacts.
      read: The folders of the artifacts, and the log files, that it read.
      settings: Its parameter `settings`, the bounds of a gate as JSON; empty if it has none.
    """

    name: str
    state: str
    started: datetime.datetime
    seconds: float
    outputs: Sequence[Output]
    read: Sequence[str] = ()
    settings: str = ""


@dataclasses.dataclass(frozen=True)
class Contents:
    """What the run's artifacts hold beside its report; None, or empty, if the run did not come to it or it was removed.

    Attributes:
      counts: The row counts.
      data_record: The record of the gate on data.
      evidence: The measurements of the span in this record.
      drift: The bounds of the gate on data.
      earlier_evidence: The measurements of the earlier spans that the gate on data compares with, the oldest first.
      statistics: The statistics of the span's training examples.
      earlier_statistics: Those of the newest earlier span that has some, and the span.
      measured: The result over all evaluation examples with its standard errors, which the report lacks.
      evaluation: The bounds of the gate on quality on one span.
      histograms: The scores over all evaluation examples, by model.
    """

    counts: Reading[Counts]
    data_record: Reading[GateRecord | None] = Reading()
    evidence: Reading[SpanEvidence | None] = Reading()
    drift: Reading[Drift | None] = Reading()
    earlier_evidence: Reading[Sequence[SpanEvidence]] = Reading(())
    statistics: Reading[Statistics | None] = Reading()
    earlier_statistics: Reading[tuple[int, Statistics] | None] = Reading()
    measured: Reading[EvaluationResult | None] = Reading()
    evaluation: Reading[Evaluation | None] = Reading()
    histograms: Reading[Mapping[str, Histogram]] = Reading({})

    @functools.cached_property
    def feature_drift(self) -> Mapping[str, FeatureDrift]:
        """The drift by feature, as `read_drift`; raises the error of reading what it is measured from."""
        # Imported here only: a view other than the page does not need it.
        from pipeline.report.result.feature_drift import read_drift

        record = self.data_record.get()
        findings = record.findings if record else ()
        return read_drift(self.evidence.get(), self.earlier_evidence.get(), findings, self.drift.get() or Drift())


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that has ended, as far as it came.

    Attributes:
      run_id: The run's name.
      pipeline_name: Its pipeline.
      report: Its report.
      nodes: Its nodes, in the order in which they started.
      contents: What its artifacts hold.
      manifests: The manifests of all versions, by version, oldest first.
      existing: The versions that exist; the last one serves.
      near: The runs around it.
      config_changes: By key of the config, its value in `near.trained` and in this run, as JSON, of all keys that
        differ; None if one of them did not come to its push.
      workspace: The workspace's folder; empty if it is not known.
    """

    run_id: str
    pipeline_name: str
    report: RunReport
    nodes: Sequence[Node]
    contents: Contents
    manifests: Mapping[int, Manifest]
    existing: Sequence[int]
    near: Neighbours = dataclasses.field(default_factory=Neighbours)
    config_changes: Reading[Mapping[str, tuple[str, str]] | None] = Reading()
    workspace: str = ""

    @property
    def seconds(self) -> float:
        """The time from the first node's start to the last node's end."""
        if not self.nodes:
            return 0.0
        first = min(node.started for node in self.nodes)
        return max((node.started - first).total_seconds() + node.seconds for node in self.nodes)

    def absent(self, words: str) -> str:
        """Returns why the report lacks something: `words`, but a failed run's report has nothing that the run made."""
        report = self.report
        where = f" in {report.failed_node}" if report.failed_node else ""
        return words if report.status != "failed" else f"Not in this report: the run failed{where}."
