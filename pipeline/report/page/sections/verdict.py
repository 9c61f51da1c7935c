"""A page's head: how the run ended, what serves now, and the numbers that decide."""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from pipeline.report.assessment import baseline_words, evaluated_on, how_good, interval_words, next_step, reasons
from pipeline.report.page import numbers
from pipeline.report.page.parts import Card, Note, Tone
from pipeline.report.references import verdict_sentence
from pipeline.report.result.run import Run
from pipeline.report.run_report import RunReport
from transform.feature import IMPRESSIONS

#: The metrics in the head, if they were measured.
DECIDING = ("auc", "logloss", "calibration")

#: The colour of each status.
TONES: dict[str, Tone] = {"pushed": "good", "refused": "bad", "skipped": "warn", "failed": "bad"}


#: What stands in the command of the next step for files and folders of the run.
_PLACEHOLDER = re.compile(r"\b(?:CONFIG|DATA|WORKSPACE)\b")


@dataclasses.dataclass(frozen=True)
class Head:
    """A page's head.

    Attributes:
      status: How the run ended, in a word.
      tone: Its colour.
      title: How it ended, in a few words.
      answers: By the question that they answer, sentences: how good the model is, why, what to do next.
      quiet: What serves now, what the model was compared with, and on which rows the cards' metrics were measured.
      cards: The numbers that decide.
    """

    status: str
    tone: Tone
    title: str
    answers: Mapping[str, Sequence[Note]]
    quiet: Sequence[str]
    cards: Sequence[Card]


def head(run: Run) -> Head:
    """Returns the head of a run's page."""
    report = run.report
    answers = {
        "Is the model any good?": _how_good(report),
        "How the run ended": _ending(report),
        "Why": reasons(report),
        "What to do next": _next(run),
    }
    found = {question: notes for question, of_it in answers.items() if (notes := list(of_it))}
    return Head(report.status, TONES[report.status], title(report), found, list(_quiet(run)), list(_cards(run)))


def title(report: RunReport) -> str:
    """Says how a run ended, in a few words."""
    match report.status:
        case "pushed":
            return f"Pushed as version {report.version}" + (", forced" if report.forced else "")
        case "refused":
            return "Refused: the model was not pushed"
        case "skipped":
            return f"Stopped by {report.skipped_by}: no model was trained on the span"
        case "failed":
            return f"Failed in {report.failed_node}" if report.failed_node else "Failed"


def _how_good(report: RunReport) -> Iterator[Note]:
    if not_better := verdict_sentence(report):
        yield Note(f"The model is {not_better}.", "warn")
    yield from how_good(report)


def _ending(report: RunReport) -> Iterator[Note]:
    """Yields why the run ended as it did, if there is anything to say."""
    if report.reason:
        yield Note(report.reason, "warn" if report.status == "skipped" else "bad")
    for refusal in report.refusals:
        yield Note(refusal, "bad")
    if report.forced:
        yield Note(f"Pushed despite the refusals: {report.forced}", "warn")
    if report.push_note:
        yield Note(f"Version {report.version}: {report.push_note}", "warn")


def _next(run: Run) -> Iterator[Note]:
    report = run.report
    known = {"CONFIG": report.config_file, "DATA": report.data_root, "WORKSPACE": run.workspace}
    step = next_step(report)
    command = _PLACEHOLDER.sub(
        lambda found: shlex.quote(known[found[0]]) if known[found[0]] else found[0], step.command
    )
    yield dataclasses.replace(step, command=command)
    if verdict_sentence(report) and report.suggestions:
        yield Note(f"Most likely to help: {'; '.join(report.suggestions)}.")
    left = [name for name in dict.fromkeys(_PLACEHOLDER.findall(step.command)) if not known[name]]
    words = [f"{' and '.join(left)} stand{'s' if len(left) == 1 else ''} for this run's own."] if left else []
    if "CHANGED_CONFIG" in step.command:
        words.append("CHANGED_CONFIG stands for a copy of the config with other settings.")
    if words:
        yield Note(" ".join(words), "quiet")


def _quiet(run: Run) -> Iterator[str]:
    report = run.report
    yield serving_words(run)
    if report.held_against:
        yield f"The model was held against: {report.held_against}."
    if rows := evaluated_on(report):
        yield f"Metrics {rows}."


def serving_words(run: Run) -> str:
    """Says what serves when the page is written."""
    if not run.existing:
        return "No version serves: nothing was pushed yet."
    version = run.existing[-1]
    manifest = run.manifests[version]
    spans = ", ".join(map(str, manifest.spans or ()))
    trained = f", trained on {'span' if len(manifest.spans or ()) == 1 else 'spans'} {spans}" if spans else ""
    pushed = f", pushed {manifest.pushed_at}" if manifest.pushed_at else ""
    own = " It is this run's." if version == run.report.version else " It is not this run's."
    return f"Version {version} serves{trained}{pushed}.{own}"


def _cards(run: Run) -> Iterator[Card]:
    report, counts = run.report, run.contents.counts.get()
    for name in DECIDING:
        if name in report.metrics:
            yield Card(name, numbers.metric(report.metrics[name]), list(_details(report, name)))
    if read := counts.read.get(IMPRESSIONS):
        rejected = numbers.share(counts.num_rejected, read)
        yield Card("impressions read", numbers.count(read), (f"span {report.span}", f"{rejected} rejected"))
    if (training := report.training) is not None:
        spans = f"span{'' if len(report.spans) == 1 else 's'} {', '.join(map(str, report.spans))}"
        details = (spans, numbers.plural(training.num_epochs, "epoch"))
        yield Card("training examples", numbers.count(training.num_examples), details)
    if run.seconds:
        yield Card("time", numbers.seconds(run.seconds), (f"{len(run.nodes)} components",))


def _details(report: RunReport, name: str) -> Iterator[str]:
    """Yields a metric's interval, and the baseline's value with the interval of the change."""
    yield interval_words(report, name)
    if name not in report.baseline:
        yield "no baseline, a model that serves, to compare with"
        return
    yield f"{baseline_words(report)}: {numbers.metric(report.baseline[name])}"
    if name in report.changes and not math.isnan(report.changes[name][0]):
        yield f"change {numbers.between(*report.changes[name])}"
