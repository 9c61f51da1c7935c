"""The run report: one JSON document per run, of one shape whether it pushed, was refused, was skipped or failed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from absl import logging
from pydantic import Field
from pydantic.dataclasses import dataclass

from components.evaluation.results import EvaluationResult
from components.gate_records import Finding
from components.infra_validation.verdict import Verdict
from components.ingestion.counts import Counts
from components.late_labels.counts import LateCounts
from components.quality_gate.inputs import AucFalls, ReferenceResult
from pipeline.registry.progressive import ProgressiveValidation
from trainer.training.report import TrainingReport
from transform.documents import CONFIG, Document, FloatOrNaN
from transform.errors import InputError

#: What `places` has, before the reason, of a tracker that did not get the run.
NOT_SENT = "not sent: "

#: `pushed`: the model serves. `refused`: a gate or the push refused the model. `skipped`: a gate stopped the run on the
#: span's data, and the next run builds on the last good span. `failed`: a node failed.
Status = Literal["pushed", "refused", "skipped", "failed"]


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class RunReport:
    """The report of a run, `reports/<run>.json` in the workspace.

    All keys are present in every report. A run that was skipped or failed has null, or an empty value, for what it did
    not come to.

    Attributes:
      status: How the run ended.
      span: The run's span.
      skipped_by: The gate that stopped the run; empty unless it was skipped.
      failed_node: The node that failed, such as `example_gen`, or `example_gen (span 1)` if it ingested an earlier span
        of the window; empty unless the run failed.
      reason: The gate's sentence, or the failed node's error; else empty.
      counts: Row counts of the ingestion; the span alone if the run was skipped or failed.
      spans: The window that was trained on, newest span first.
      missing_spans: The spans of the configured window that were not trained on, newest first; none from before the
        first span that the pipeline ingested. They had no complete logs, were unfit, or were stopped by a gate on data.
      late_spans: The spans of which the completed tail was trained on, newest first.
      late: What became of the tail of the span before; None without `late_labels`.
      data_findings: Findings of the gate on data, the most severe first.
      progress: Metrics of the previous model on this span, which it had not seen; None on a first span, or if
        that model could not be measured.
      progress_problem: Why that model, or the one before it, could not be measured, as a sentence; else empty. Empty,
        too, for a model that reads a feature which the examples lack: the log names it.
      training: The trainer's report.
      metrics: The candidate model's metrics, by name; empty if infra validation refused it, since it is not evaluated
        then.
      baseline: The baseline's metrics on the same examples; empty on a first run.
      changes: By metric, the 95 % interval of the candidate's value minus the baseline's; empty on a first run.
      intervals: By metric, the 95 % interval of the candidate's value; empty in a report of an earlier release.
      num_eval_examples: Number of examples on which they were measured.
      slices: By the slice's name, what was measured in it.
      references: By name, the quality of simple models on the same examples, and the candidate model's gain over them;
        empty if they could not be compared.
      references_problem: Why they could not be compared, as a sentence; else empty.
      suggestions: Settings that may help, which `wdr try --suggest` tries, if one of them has as good an AUC; else
        empty, and in a report of an earlier release.
      auc_falls: By how much the candidate model's AUC falls without each feature; None if it was not measured, and in a
        report of an earlier release.
      findings: Findings of the gate on quality, refusals first.
      infra: The verdict of infra validation.
      refusals: Why the model was not to be pushed, one sentence per reason; empty if the gates allowed the push.
      forced: Why it was pushed despite refusals; empty if it was not.
      version: The pushed version; None if there is none.
      places: Locations of files and folders, by what they contain; in a run's result, also why a tracker
        (`OpenLineage`, `MLflow`) did not get the run.
      accepted: Findings of the gates on data that a person accepted, one sentence each, with the person and the reason;
        or a sentence that there was nothing to accept.
      push_note: A further note on the pushed version, for example that it was removed since; else empty.
      held_against: The version that was the baseline and where it was found, or why there was none.
      baseline_version: The version that was the baseline; None without one, and in a report of an earlier release.
      pipeline: The run's pipeline, which has the config's name; empty in a report of an earlier release.
      config_file: The config's file; empty if the run was not started with one, as a compiled pipeline's is not, and in
        a report of an earlier release.
      data_root: The folder of the data; empty in a report of an earlier release.
      label: What label 1 means, by the names of the log, such as "`clicked` is 1"; empty if the run did not come to its
        push, and in a report of an earlier release.
      schema_version: The version of this dataclass's schema.
    """

    status: Status
    span: int
    skipped_by: str = ""
    failed_node: str = ""
    reason: str = ""
    counts: Counts
    spans: tuple[int, ...] = ()
    missing_spans: tuple[int, ...] = ()
    late_spans: tuple[int, ...] = ()
    late: LateCounts | None = None
    data_findings: tuple[Finding, ...] = ()
    progress: ProgressiveValidation | None = None
    progress_problem: str = ""
    training: TrainingReport | None = None
    metrics: Mapping[str, FloatOrNaN] = Field(default_factory=dict)
    baseline: Mapping[str, FloatOrNaN] = Field(default_factory=dict)
    changes: Mapping[str, tuple[FloatOrNaN, FloatOrNaN]] = Field(default_factory=dict)
    intervals: Mapping[str, tuple[FloatOrNaN, FloatOrNaN]] = Field(default_factory=dict)
    num_eval_examples: int = 0
    slices: Mapping[str, EvaluationResult] = Field(default_factory=dict)
    references: Mapping[str, ReferenceResult] = Field(default_factory=dict)
    references_problem: str = ""
    suggestions: tuple[str, ...] = ()
    auc_falls: AucFalls | None = None
    findings: tuple[Finding, ...] = ()
    infra: Verdict | None = None
    refusals: tuple[str, ...] = ()
    forced: str = ""
    version: int | None = None
    places: Mapping[str, str] = Field(default_factory=dict)
    accepted: tuple[str, ...] = ()
    push_note: str = ""
    held_against: str = ""
    baseline_version: int | None = None
    pipeline: str = ""
    config_file: str = ""
    data_root: str = ""
    label: str = ""
    schema_version: Literal[1] = 1

    @property
    def missing_spans_words(self) -> str:
        """A sentence about `missing_spans`; empty if there are none."""
        if not self.missing_spans:
            return ""
        spans = ("span " if len(self.missing_spans) == 1 else "spans ") + ", ".join(map(str, self.missing_spans))
        return f"the window (ingestion.window_spans) lacks {spans}; the run's log says why"

    @property
    def never_trained_words(self) -> str:
        """A sentence about the impressions of the span that no run trains on; empty if there are none."""
        number = self.counts.unknown_labels
        if not number or self.late is not None:
            return ""
        return (
            f"no run trains on the {number:,} impressions of the span's last sources.installs.attribution_seconds, "
            "whose labels are not known yet; with sources.installs.late_labels: true the next span completes them"
        )

    @classmethod
    def skipped(cls, span: int, gate: str, reason: str) -> RunReport:
        """Returns the report of a run that a gate stopped on the span's data."""
        return cls(status="skipped", span=span, skipped_by=gate, reason=reason, counts=Counts(span=span))

    @classmethod
    def failed(cls, span: int, node: str, reason: str) -> RunReport:
        """Returns the report of a run whose node failed."""
        return cls(status="failed", span=span, failed_node=node, reason=reason, counts=Counts(span=span))

    def to_json(self) -> str:
        """Returns the report as JSON."""
        return _DOCUMENT.to_json(self)


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class RunResult(RunReport):
    """The report of a run whose last node ended: the model was pushed, or refused."""

    training: TrainingReport = Field()
    infra: Verdict = Field()


_DOCUMENT = Document(RunReport, "a run's report")


def read_report(file: Path) -> RunReport:
    """Reads a run's report; raises InputError if it is damaged, or of a version that this release does not read."""
    return _DOCUMENT.from_json(file.read_bytes(), str(file))


def has_ended(reports: Path, pipeline_name: str, span: int) -> bool:
    """Returns whether a scheduled run of a span has ended: it pushed, was refused or was skipped; not if it failed.

    Args:
      reports: The folder of reports.
      pipeline_name: The pipeline, with which the names of its scheduled runs begin.
      span: The span.

    A report that cannot be read is logged, and counts as none: it must not stop the runs of all later spans.
    """
    return any(_is_of_end(file, span) for file in sorted(reports.glob(f"{pipeline_name}.*.json")))


def _is_of_end(file: Path, span: int) -> bool:
    try:
        report = read_report(file)
    except InputError as error:
        logging.warning("a run's report is passed over: %s", error)
        return False
    return report.span == span and report.status != "failed"
