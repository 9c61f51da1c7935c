"""The reference models in a run's report: those that the candidate model is not better than, the best one first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from components.quality_gate.inputs import ReferenceResult
from pipeline.report.run_report import RunReport
from transform.files.reference_scores import reference_words

#: What is compared, in this order.
METRICS = ("auc", "logloss")


class Unbeaten(NamedTuple):
    """A reference model that the candidate model is not better than.

    Attributes:
      name: Its name, of `REFERENCE_MODELS`.
      metric: The first metric in which the candidate model is not better beyond chance.
      is_as_good: Whether the reference model's value is as good as the candidate's, or better.
      sentence: Both values and their difference, the candidate's minus the reference model's, with the 95 % interval.
    """

    name: str
    metric: str
    is_as_good: bool
    sentence: str


def unbeaten(references: Mapping[str, ReferenceResult]) -> list[Unbeaten]:
    """Returns the reference models that the candidate model is not better than, by 95 % intervals.

    Those of the AUC come first, the highest AUC before the others, and of two AUCs with the same four digits the first
    of `references`; then those of the log loss alone.
    """
    found = []
    for name, reference in references.items():
        gains = {metric: gain for metric in METRICS if (gain := reference.gain(metric)) is not None}
        metric = next((metric for metric, gain in gains.items() if gain.low <= 0), None)
        if metric is not None:
            is_as_good = gains[metric].value <= 0
            found.append(Unbeaten(name, metric, is_as_good, _sentence(name, metric, reference, is_as_good)))

    def rank(one: Unbeaten) -> tuple[int, float]:
        return METRICS.index(one.metric), -round(references[one.name].metrics.get("auc", 0.0), 4)

    return sorted(found, key=rank)


def _sentence(name: str, metric: str, reference: ReferenceResult, is_as_good: bool) -> str:
    difference, gain = reference.differences[metric], reference.gain(metric)
    assert gain is not None
    value, half_width = reference.metrics[metric], gain.half_width
    low, high = difference.estimate - half_width, difference.estimate + half_width
    words = "worse" if gain.high < 0 else "not better"
    beyond = "" if is_as_good else " beyond chance"
    return (
        f"{words} than the {reference_words(name)}{beyond}: {metric} {value + difference.estimate:.4f} "
        f"against {value:.4f}, difference {difference.estimate:+.4f} (95 % interval {low:+.4f} to {high:+.4f})"
    )


def verdict_sentence(report: RunReport) -> str:
    """Returns the sentence on the best reference model if its AUC is as high as the candidate's, else an empty text."""
    first = next(iter(unbeaten(report.references)), None)
    return first.sentence if first is not None and first.metric == "auc" and first.is_as_good else ""


def warnings(report: RunReport) -> Iterator[str]:
    """Yields a sentence for each further reference model that is not beaten, and one if they were not compared."""
    verdict = verdict_sentence(report)
    yield from (one.sentence for one in unbeaten(report.references) if one.sentence != verdict)
    if report.references_problem:
        yield f"the reference models are not compared: {report.references_problem}"
    elif report.references and not any(reference.differences for reference in report.references.values()):
        yield "the reference models are not compared: both labels and two users or requests are needed"


def left_out(report: RunReport) -> Iterator[str]:
    """Yields a sentence for each reference model that was not fitted."""
    if report.training is not None:
        for name, why in report.training.references_left_out.items():
            yield f"the {reference_words(name)} is not fitted: {why}"


def fitted_on(report: RunReport) -> str:
    """Says how many training rows the reference models were fitted on and, if it is known, the time that they took."""
    rows = max((reference.num_rows for reference in report.references.values()), default=0)
    training = report.training
    held_out = training.num_held_out_examples if training is not None else 0
    seconds = training.references_seconds if training is not None else None
    words = f"fitted on {rows:,} training rows" + ("" if seconds is None else f" in {seconds:.1f} s")
    return words + (f" (the model keeps {held_out:,} training rows to choose its epoch)" if held_out else "")


def suggested(report: RunReport, command: str) -> str:
    """Says which settings may help, and the command that tries them."""
    return f"`{command}` tries what is most likely to help: {'; '.join(report.suggestions)}"
