"""What a run's numbers say, in sentences: how good the model is, why, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Iterator

from components.infra_validation.verdict import Measurements
from pipeline.report.page import numbers
from pipeline.report.page.parts import Note, Tone
from pipeline.report.references import unbeaten, verdict_sentence
from pipeline.report.run_report import RunReport
from transform.files.reference_scores import reference_words

#: Maximum number of features that are named as the reason of the quality.
_MAX_REASONS = 3

_RUN = "wdr run CONFIG --data DATA --workspace WORKSPACE --span"


def assess(report: RunReport) -> Iterator[Note]:
    """Yields what the metrics say of the model, and why; nothing if it was not evaluated."""
    yield from how_good(report)
    yield from reasons(report)


def how_good(report: RunReport) -> Iterator[Note]:
    """Yields how good the model is: alone, against the baseline and the reference models, and its calibration."""
    found = (
        _order(report),
        _optimism(report),
        _against_baseline(report),
        _against_references(report),
        calibration(report),
    )
    yield from (note for note in found if note is not None)


def judged_change(name: str, value: float, other: float, low: float, high: float) -> tuple[str, Tone]:
    """Says whether a metric is better than another model's; a calibration is if it is nearer to 1.

    Args:
      name: The metric.
      value: Its value.
      other: The other model's value.
      low: The low end of the 95 % interval of the change; NaN if it is not known.
      high: The high end.
    """
    if math.isnan(low) or math.isnan(high):
        return "not known", ""
    if low <= 0 <= high:
        return "no change beyond chance", ""
    gain = {"auc": value - other, "logloss": other - value}.get(name, abs(other - 1) - abs(value - 1))
    return ("better", "good") if gain > 0 else ("worse", "bad")


def interval_of(report: RunReport, metric: str) -> tuple[float, float] | None:
    """Returns the 95 % interval of the candidate model's metric; None if it is not known."""
    low, high = report.intervals.get(metric, (math.nan, math.nan))
    return None if math.isnan(low) or math.isnan(high) else (low, high)


def interval_words(report: RunReport, metric: str) -> str:
    """Returns the 95 % interval of the candidate model's metric as text; a dash if it is not known."""
    found = interval_of(report, metric)
    return "–" if found is None else f"{numbers.metric(found[0])} to {numbers.metric(found[1])}"


def evaluated_on(report: RunReport) -> str:
    """Says of which rows the metrics are; empty if the model was not evaluated."""
    if not report.metrics:
        return ""
    rows = f"{numbers.plural(report.num_eval_examples, 'evaluation example')} of span {report.span}"
    number = _chosen_epochs(report)
    chose = f", but chose the best of its {number} epochs" if number else ""
    return f"of {rows} that were kept out of the training{chose}; intervals are of 95 %"


def latency_words(cost: Measurements) -> str:
    """Returns a model's latency as text: the percentile that `infra_validation.max_latency_ms` bounds, at its best."""
    return f"p95 {cost.best_latency.p95_ms:.1f} ms for 200 candidates"


def calibration(report: RunReport) -> Note | None:
    """Judges the calibration, the mean score ÷ the share of label 1: it is good if its 95 % interval holds 1."""
    value = report.metrics.get("calibration", math.nan)
    if math.isnan(value):
        return None
    what = f"the mean score is {value:.3f} times the share of label 1"
    interval = interval_of(report, "calibration")
    if interval is None:
        return Note(f"Calibration is not judged: {what}, and no 95 % interval of it is known.")
    low, high = interval
    what += f", with a 95 % interval of {low:.3f} to {high:.3f}"
    if low <= 1 <= high:
        return Note(f"Calibration is good: {what}, which holds 1.", "good")
    off = f"{100 * abs(value - 1):.1f} % too {'low' if value < 1 else 'high'}"
    words = f"Calibration is not good: {what}: scores are on average {off}, beyond chance."
    return Note(f"{words} The order of items does not depend on it.", "warn")


def _order(report: RunReport) -> Note | None:
    """Says what the score is the probability of, and what the AUC means."""
    value, interval = report.metrics.get("auc", math.nan), interval_of(report, "auc")
    if math.isnan(value):
        return None
    what = f"The score is the probability that {report.label}. " if report.label else ""
    pairs = "Of 100 pairs of rows with different labels, the model puts about"
    words = f"{what}{pairs} {100 * value:.0f} in the right order"
    if interval is not None and interval[0] <= 0.5:
        return Note(f"{words}, which is no better than chance, 50.", "bad")
    return Note(f"{words}; chance is 50.")


def _chosen_epochs(report: RunReport) -> int:
    """Returns the number of epochs of which the evaluation examples chose the best; 0 if they chose none."""
    training = report.training
    is_chosen = training is not None and len(training.epochs) > 1 and not training.num_held_out_examples
    return len(training.epochs) if training is not None and is_chosen else 0


def _optimism(report: RunReport) -> Note | None:
    """Says that the metrics are too good where the examples that they are of chose the epoch."""
    number = _chosen_epochs(report)
    if not number or not report.metrics:
        return None
    return Note(
        "These figures are a little optimistic: the evaluation examples that they are of also chose the best of the "
        f"model's {number} epochs. `training.validation_fraction` keeps other examples for that."
    )


def baseline_words(report: RunReport) -> str:
    """Returns what the candidate model is compared with as text: the baseline, with its version if it is known."""
    return "baseline" if report.baseline_version is None else f"baseline, version {report.baseline_version}"


def _against_baseline(report: RunReport) -> Note | None:
    name = next((n for n in ("auc", "logloss") if n in report.metrics and n in report.baseline), None)
    if name is None:
        return None
    value, other = report.metrics[name], report.baseline[name]
    low, high = report.changes.get(name, (math.nan, math.nan))
    verdict, tone = judged_change(name, value, other, low, high)
    change = f"{name} {numbers.signed(value - other)}, with a 95 % interval of {numbers.between(low, high)}"
    served = f"the {baseline_words(report)} (which served before the run)"
    words = {
        "better": f"Better than {served}: {change}.",
        "worse": f"Worse than {served}: {change}.",
        "no change beyond chance": f"Neither better nor worse than {served} beyond chance: {change}.",
    }
    return Note(words.get(verdict, f"Not compared with {served}: no 95 % interval of {name} is known."), tone)


def _against_references(report: RunReport) -> Note | None:
    """Says that the model is better than each reference model, and names the best of these."""
    compared = [name for name, reference in report.references.items() if reference.gain("auc") is not None]
    if not compared or any(one.metric == "auc" for one in unbeaten(report.references)):
        return None  # the verdict's first line, or a warning, says of which it is not
    best = max(compared, key=lambda name: report.references[name].metrics["auc"])
    auc = numbers.metric(report.references[best].metrics["auc"])
    own = numbers.metric(report.metrics.get("auc", math.nan))
    words = f"the best of these, the {reference_words(best)}, has an AUC of {auc}, and this model {own}"
    return Note(f"Better than each of the {len(compared)} reference models; {words}.", "good")


def reasons(report: RunReport) -> Iterator[Note]:
    """Names the features with the largest falls of the AUC beyond chance; nothing if there are none."""
    found = report.auc_falls.estimates() if report.auc_falls else []
    used = [f"{name} ({numbers.metric(fall.value)})" for name, fall in found if fall.low > 0][:_MAX_REASONS]
    if used:
        words = "in brackets, by how much the AUC falls if its values are shuffled"
        yield Note(f"What it knows is mostly from {', '.join(used)}: {words}.")


def next_step(report: RunReport) -> Note:
    """Returns what to do after the run, with the command."""
    again, after = f"{_RUN} {report.span}", f"{_RUN} {report.span + 1}"
    try_configs = f"wdr try CONFIG CHANGED_CONFIG --data DATA --span {report.span}"
    judged, against = calibration(report), _against_baseline(report)
    match report.status:
        case "failed":
            words, command = "mend the cause; the same run then goes on from what is done", again
        case "skipped":
            words = "mend the logs and run the span again; if they are right, let it through, on record"
            command = f"{again} --accept-span --reason TEXT"
        case "refused" if report.infra is not None and report.infra.may_change:
            words, command = "run the span again on a quieter machine", again
        case "refused":
            words, command = "try other settings on the same rows; nothing is pushed", try_configs
        case _ if verdict_sentence(report):
            words = "no gate refuses a model for its reference models; try the settings that are most likely to help"
            command = f"wdr try CONFIG --suggest --data DATA --span {report.span}"
        case _ if judged is not None and judged.tone == "warn":
            words, is_repeated = _after_miscalibration(report)
            command = try_configs if is_repeated else after
        case _ if against is not None and against.tone != "good":
            words, command = "try settings that do better on the same rows; nothing is pushed", try_configs
        case _ if not report.baseline:
            words, command = "serve the model", "wdr serve --models WORKSPACE/serving"
        case _:
            words, command = "run the next span, once its logs are complete", after
    return Note(f"{words[0].upper()}{words[1:]}.", command=command)


def _after_miscalibration(report: RunReport) -> tuple[str, bool]:
    """Says what to do about scores that are too low or too high, and whether the model before has the same fault.

    It has if, on this span, which it had not seen, its calibration is on the same side of 1 beyond chance.
    """
    is_low = report.metrics["calibration"] < 1
    off = f"too {'low' if is_low else 'high'}"
    measured = report.progress.measured if report.progress is not None else None
    before = measured.candidate("calibration") if measured and "calibration" in measured.metrics else None
    if before is not None and (before.high < 1 if is_low else before.low > 1):
        words = f"on this span, the scores of the model before are {off} as well"
        return f"if scores are used as probabilities, try other settings on the same rows: {words}", True
    return f"change nothing yet: run the next span, and try other settings if its scores are {off} again", False
