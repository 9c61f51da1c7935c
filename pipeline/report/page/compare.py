"""The values of runs that the index puts side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.report.assessment import interval_words, latency_words
from pipeline.report.page import numbers
from pipeline.report.page.parts import cut
from pipeline.report.page.sections.changes import drifted, label_share
from pipeline.report.page.sections.verdict import DECIDING
from pipeline.report.records import Record
from transform.feature import IMPRESSIONS

_ABSENT = "–"


def compared_values(runs: Sequence[Record]) -> Mapping[str, Any]:
    """Returns the data of `compare.js`: `names` of values, and of each run its `name` and `values`, as texts."""
    values = [dict(_values(run)) for run in runs]
    names = list(dict.fromkeys(name for of_run in values for name in of_run))
    return {
        "names": names,
        "runs": [
            {"name": cut(run.run_id), "values": [cut(of_run.get(name, _ABSENT)) for name in names]}
            for run, of_run in zip(runs, values, strict=True)
        ],
    }


def _values(run: Record) -> Iterator[tuple[str, str]]:
    report, training = run.report, run.report.training
    yield "ended, UTC", f"{run.ended:%Y-%m-%d %H:%M}"
    yield "span", run.label
    yield "status", report.status + (f", version {report.version}" if report.version is not None else "")
    yield "evaluation examples", numbers.count(report.num_eval_examples)
    for name in DECIDING:
        yield name, numbers.metric(report.metrics.get(name, math.nan))
        yield f"{name}, 95 % interval", interval_words(report, name)
    for name, reference in report.references.items():
        yield f"logloss, {name.replace('_', ' ')}", numbers.metric(reference.metrics.get("logloss", math.nan))
    read, share = report.counts.read.get(IMPRESSIONS), label_share(report.counts)
    yield "impressions read", _ABSENT if read is None else numbers.count(read)
    yield "examples with label 1", _ABSENT if share is None else numbers.percent(share[0])
    yield "drifted features", ", ".join(drifted(report.data_findings)) or "none"
    yield "trained on spans", ", ".join(map(str, report.spans)) or _ABSENT
    if training is not None:
        yield "training examples", numbers.count(training.num_examples)
        yield "epochs", f"{training.num_epochs}"
        yield "training time", numbers.seconds(training.seconds)
        yield "tokens of all vocabularies", numbers.count(sum(training.vocabulary_sizes.values()))
    if report.infra is not None and (cost := report.infra.candidate) is not None:
        yield "latency", latency_words(cost)
        yield "memory", f"{cost.memory_mb:,.0f} MB"
