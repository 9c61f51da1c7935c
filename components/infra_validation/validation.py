"""The whole infra validation of one model: it loads, answers, agrees with the trainer and keeps its budgets."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from components.infra_validation.budgets import missed_budgets
from components.infra_validation.process import DryRunError
from components.infra_validation.skew import Comparison, compare_ranked, compare_rows, compare_sorted
from components.infra_validation.subject import Measurements, Subject
from transform.infra_settings import InfraValidation
from transform.own_scores import read_own_scores

#: The paper's table 2: 200 candidates at once, in two batches on two threads, in four on four.
NUM_CANDIDATES = 200
BATCH_SIZES = (200, 100, 50)

#: After so many requests it is the other model's turn, so that what else the machine does slows both.
_REQUESTS_PER_TURN = 20


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the infra validation found.

    Attributes:
      problems: Why the model must not be pushed, a sentence each.
      candidate: What it costs; None if it came to no measurement.
      baseline: What the serving model costs; None without one, or if it could not be run.
      baseline_problem: Why it could not; else empty.
      row_skew: The comparison with the trainer's own scores, row by row.
      rank_skew: The same, of the scores that the rows' items have when they are ranked.
      eval_skew: The one over all evaluation examples.
      largest_change: How far the scores of the requests are from the serving model's; None without one, or if it could
        not be run.
    """

    problems: tuple[str, ...]
    candidate: Measurements | None = None
    baseline: Measurements | None = None
    baseline_problem: str = ""
    row_skew: Comparison | None = None
    rank_skew: Comparison | None = None
    eval_skew: Comparison | None = None
    largest_change: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def validate(
    settings: InfraValidation,
    model_uri: str,
    baseline_uri: str | None,
    requests: Sequence[bytes],
    eval_rows: Iterable[bytes],
) -> Verdict:
    """Validates a model.

    Args:
      settings: What to measure, and the budgets.
      model_uri: The model artifact's folder, with the SavedModel and the trainer's own scores in it.
      baseline_uri: The serving model's; None on a first run.
      requests: Recorded raw tf.Examples, serialized, which it must score.
      eval_rows: All raw evaluation examples of what the trainer was given, in any order.

    Returns:
      The verdict.
    """
    if len(requests) < 2:  # the scores of one request cannot differ
        return Verdict((f"there must be at least 2 examples to score. Received: {len(requests)}",))
    own = read_own_scores(model_uri)
    if own is None:
        return Verdict((f"the trainer must leave its own scores beside the model. There are none in {model_uri}",))
    with contextlib.ExitStack() as stack:
        # Both start at once: most of their time is TensorFlow's import.
        candidate = stack.enter_context(Subject(model_uri, settings.timeout_seconds))
        baseline = stack.enter_context(Subject(baseline_uri, settings.timeout_seconds)) if baseline_uri else None
        try:
            candidate.load()
            _check_scores(candidate.scores(requests), candidate)
            baseline_problem = _problem_of(baseline, requests) if baseline else ""
            baseline = None if baseline_problem else baseline
            change = None if baseline is None else largest_change(baseline.scores(requests), candidate.scores(requests))
            measured, before = _measure(settings, candidate, baseline, requests)
            comparisons = (
                compare_rows(own.rows, own.row_scores, candidate.scores(own.rows)),
                compare_ranked(own.rows, own.item_ids, own.row_scores, candidate.rank_scores(own.rows, own.item_ids)),
                compare_sorted(own.eval_scores, candidate.scores(eval_rows)),
            )
        except DryRunError as error:
            return Verdict((str(error),))
    skews = [comparison.problem for comparison in comparisons if comparison.problem]
    problems = (*skews, *missed_budgets(settings, measured, before))
    return Verdict(problems, measured, before, baseline_problem, *comparisons, largest_change=change)


def largest_change(before: np.ndarray, after: np.ndarray) -> float:
    """The largest relative difference of two models' scores of the same rows.

    It is max |after - before| / before: of the scores 0.1 and 0.2 after 0.1 and 0.16, 0.25.

    Args:
      before: One model's scores, float32 `[n]` in [0, 1].
      after: The other's.
    """
    smallest = float(np.finfo(np.float32).tiny)  # a score of 0 that stays one has not changed
    old = before.astype(np.float64)
    return float(np.max(np.abs(after - old) / np.maximum(old, smallest)))


def _check_scores(scores: np.ndarray, subject: Subject) -> None:
    """Raises DryRunError if scores are no probabilities, tell no request from another, or are of damaged variables."""
    bad, damaged = int(np.count_nonzero(~np.isfinite(scores))), subject.damaged_variables()
    if bad:
        where = f"; nor are values of its variables {', '.join(damaged[:5])}" if damaged else ""
        raise DryRunError(f"every score must be finite. Received: {bad} of {scores.size} that are not{where}")
    if damaged:  # a ReLU makes 0 of a NaN
        raise DryRunError(
            f"every value of the model's variables must be finite. Received: others in {', '.join(damaged[:5])}"
        )
    lowest, highest = float(scores.min()), float(scores.max())
    if lowest < 0 or highest > 1:
        raise DryRunError(f"scores must lie in [0, 1]. Received: {lowest:g} to {highest:g}")
    if lowest == highest:
        raise DryRunError(f"scores must differ between requests. Received: {lowest:g} for all {scores.size}")


def _problem_of(baseline: Subject, requests: Sequence[bytes]) -> str:
    """Why the serving model cannot be measured, which is no fault of the candidate's; empty if it can."""
    try:
        baseline.load()
        baseline.scores(requests)
    except DryRunError as error:
        return str(error)
    return ""


def _measure(
    settings: InfraValidation, candidate: Subject, baseline: Subject | None, requests: Sequence[bytes]
) -> tuple[Measurements, Measurements | None]:
    """Measures the candidate and, in turns with it, the serving model."""
    candidates = list(itertools.islice(itertools.cycle(requests), NUM_CANDIDATES))
    subjects = [candidate] if baseline is None else [candidate, baseline]
    turns = range(0, settings.num_measurements, _REQUESTS_PER_TURN)
    for done, batch_size, subject in itertools.product(turns, BATCH_SIZES, subjects):
        subject.time(candidates, batch_size, min(_REQUESTS_PER_TURN, settings.num_measurements - done))
    before = None if baseline is None else baseline.measurements(NUM_CANDIDATES)
    return candidate.measurements(NUM_CANDIDATES), before
