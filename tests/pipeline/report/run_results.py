"""The result of a small run, for what is made from a run's result."""

from __future__ import annotations

from typing import Any

from components.infra_validation.verdict import Verdict
from components.ingestion.counts import Counts
from pipeline.report.result.read import read_contents
from pipeline.report.result.run import Run
from pipeline.report.run_report import RunReport, RunResult
from trainer.training.position import Metrics
from trainer.training.report import TrainingReport
from trainer.warm_start.report import WarmStartReport

TRAINING = TrainingReport(
    vocabulary_sizes={"app": 3},
    wide_table_sizes={"wide/app": 1200, "wide/app_x_price": 50},
    wide_non_zero_rows={"wide/app": 1000, "wide/app_x_price": 2},
    signatures=("rank", "serving_default"),
    absent_signatures={},
    warm_started_from=None,
    warm_start=WarmStartReport(None, not_carried=("there is no previous model",)),
    tuned={},
    num_examples=100,
    num_trained_examples=100,
    resumed_at=(),
    num_epochs=1,
    exported_epoch=1,
    epochs=(),
    validation=Metrics(20, 0.75, 0.25),
    num_steps=10,
    seconds=2.0,
    examples_per_second=50.0,
)


def ended(report: RunReport, **changes: Any) -> Run:
    """Returns a run of the pipeline `store` that has ended; `changes` are fields that differ."""
    contents = read_contents(report, changes.get("nodes", ()))
    fields: dict[str, Any] = {"run_id": "a-run", "pipeline_name": "store", "nodes": (), "manifests": {}, "existing": ()}
    return Run(report=report, contents=contents, **fields | changes)


def run_result(**changes: Any) -> RunResult:
    """Returns the result of a first run that pushed; `changes` are fields that differ."""
    fields: dict[str, Any] = {
        "status": "pushed",
        "span": 1,
        "counts": Counts(span=1),
        "spans": (1,),
        "training": TRAINING,
        "metrics": {"auc": 0.75},
        "num_eval_examples": 20,
        "infra": Verdict(()),
        "version": 1,
    }
    return RunResult(**fields | changes)
