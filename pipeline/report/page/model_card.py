"""The model card of a run, in Markdown: what the model is, what it was trained on, how good it is, and its limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pipeline.report import references
from pipeline.report.alike import united
from pipeline.report.assessment import assess, evaluated_on, interval_words, latency_words
from pipeline.report.page import numbers
from pipeline.report.page.parts import cut
from pipeline.report.page.sections.quality import reference_table
from pipeline.report.page.sections.verdict import serving_words, title
from pipeline.report.result.run import Run
from pipeline.report.run_report import RunReport
from transform.feature import IMPRESSIONS

#: What the score is the probability of, by a report that does not name the label.
_NO_LABEL = "the label is 1"

#: Maximum number of slices.
_MAX_SLICES = 30

#: Maximum number of features.
_MAX_FEATURES = 30

#: Characters that begin or end a construct of Markdown or HTML; a backslash makes them plain.
_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>|#~&!{}"})


def model_card(run: Run) -> str:
    """Returns the model card of a run; every text from the data is plain."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: Run) -> Iterator[str]:
    report, training = run.report, run.report.training
    yield f"# Model card: {plain(run.pipeline_name)}, span {report.span}\n"
    yield f"{plain(title(report))}. {plain(serving_words(run))}\n"
    yield from (f"- Refused: {plain(refusal)}" for refusal in report.refusals)
    yield "\n## Model\n"
    yield "A Wide & Deep model (Cheng et al., 2016): a linear model of crossed features and a deep network, trained"
    yield f"jointly on logged impressions. Its score is the probability that {plain(report.label or _NO_LABEL)}.\n"
    if training is None:
        yield plain(run.absent(f"No model was trained: {report.reason}"))
        return
    yield f"- run: {plain(run.run_id)}"
    yield f"- start: {plain(training.warm_started_from or 'cold')}"
    yield f"- training: {numbers.plural(training.num_epochs, 'epoch')}, {training.num_steps:,} steps"
    if report.infra is not None and report.infra.candidate is not None:
        yield f"- latency: {latency_words(report.infra.candidate)}"
    yield f"- signatures: {plain(', '.join(training.signatures))}\n"
    yield "## Data\n"
    counts = run.contents.counts.get()
    yield f"- spans: {', '.join(map(str, report.spans))}"
    if report.missing_spans:
        yield f"- {plain(report.missing_spans_words)}"
    yield f"- impressions of the newest span: {counts.read.get(IMPRESSIONS, 0):,}, {counts.num_rejected:,} rejected"
    yield f"- training examples: {training.num_examples:,}"
    yield f"- evaluation examples: {report.num_eval_examples:,}, of the newest span, not trained on\n"
    yield "## Quality\n"
    if not report.metrics:
        yield "The model was not evaluated."
        return
    yield f"Metrics {evaluated_on(report)}.\n"
    yield from (f"- {plain(note.text)}" for note in assess(report))
    yield ""
    rows = [
        (name, numbers.metric(value), interval_words(report, name), numbers.metric(report.baseline.get(name, math.nan)),
         numbers.between(*report.changes.get(name, (math.nan, math.nan))))
        for name, value in report.metrics.items()
    ]  # fmt: skip
    yield from _table(("metric", "model", "95 % interval", "baseline", "change, 95 % interval"), rows)
    yield from _references(report)
    yield "\n## Slices\n"
    shown = sorted(report.slices.items(), key=lambda item: -item[1].num_examples)[:_MAX_SLICES]
    names = [name for name in ("auc", "logloss", "calibration") if name in report.metrics]
    of_slices = [
        (name, f"{measured.num_examples:,}",
         *(numbers.with_interval(measured.candidate(n)) if n in measured.metrics else "–" for n in names))
        for name, measured in shown
    ]  # fmt: skip
    if of_slices:
        yield from _table(("slice", "examples", *names), of_slices)
    else:
        yield "The config has no slices, or none has enough examples."
    yield from _importance(report)
    yield "\n## Limits\n"
    yield "Labels are of items that were shown, so the scores hold for candidates like these."
    for finding in (*report.data_findings, *united(report.findings)):
        yield f"- {plain(finding.sentence)}"


def _references(report: RunReport) -> Iterator[str]:
    if not report.references:
        return
    yield "\n## Reference models\n"
    yield f"Simple models, {references.fitted_on(report)}, on the same evaluation examples.\n"
    columns, of_models = reference_table(report)
    yield from _table(("reference model", *columns), of_models)
    yield ""
    yield from (f"- The candidate model is {plain(one.sentence)}." for one in references.unbeaten(report.references))
    yield from (f"- {plain(sentence)}" for sentence in references.left_out(report))


def _importance(report: RunReport) -> Iterator[str]:
    if report.auc_falls is None:
        return
    yield "\n## Importance\n"
    yield f"By how much the AUC of {report.auc_falls.num_rows:,} evaluation rows falls if a feature's values are"
    yield "permuted among them; of two features that say the same, each may seem to be of no use.\n"
    of_features = [
        (name, numbers.signed(fall.value), numbers.between(fall.low, fall.high))
        for name, fall in report.auc_falls.estimates()[:_MAX_FEATURES]
    ]
    yield from _table(("feature", "fall of the AUC", "95 % interval"), of_features)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * (len(columns) - 1)}"
    yield from (f"| {' | '.join(map(plain, row))} |" for row in rows)


def plain(text: str) -> str:
    """Returns a text that Markdown shows as it is, in one line."""
    return " ".join(cut(text).split()).translate(_SPECIAL)
