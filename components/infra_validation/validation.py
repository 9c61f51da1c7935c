"""The whole infra validation of one model: it loads, answers, agrees with trainer and catalog, keeps its budgets."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from components.infra_validation.budgets import missed_budgets
from components.infra_validation.model_process import Measurements, ModelProcess
from components.infra_validation.process import DryRunError
from components.infra_validation.ranked import RankingRequests, ranking_requests
from components.infra_validation.requests import value_of
from components.infra_validation.skew import (
    Comparison,
    compare_from_catalog,
    compare_ranked,
    compare_rows,
    compare_sorted,
)
from transform.config.config import Config
from transform.config.infra_validation import InfraValidation
from transform.ranking import RANKING_SIGNATURES, absent_signatures
from transform.signature_names import RANK_ITEMS_SIGNATURE, RANK_SIGNATURE, SERVING_SIGNATURE
from transform.trainer_predictions import TrainerPredictions, read_trainer_predictions

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
      rank_skew: The same, of the scores that the rows' items have when `rank_items` is given their features.
      eval_skew: The one over all evaluation examples.
      catalog_skew: By each signature that ranks, the comparison of its scores of contexts and item ids with
        `serving_default`'s of whole examples made from the run's catalog; empty for a model without `rank`.
      num_catalog_items: How many items of the catalog were ranked for it.
      largest_change: How far the scores of the requests, and those of `rank`, are from the serving model's; None
        without one, or if it could not be run.
    """

    problems: tuple[str, ...]
    candidate: Measurements | None = None
    baseline: Measurements | None = None
    baseline_problem: str = ""
    row_skew: Comparison | None = None
    rank_skew: Comparison | None = None
    eval_skew: Comparison | None = None
    catalog_skew: Mapping[str, Comparison] = dataclasses.field(default_factory=dict)
    num_catalog_items: int = 0
    largest_change: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def validate(
    config: Config,
    model_uri: str,
    baseline_uri: str | None,
    catalog_uri: str,
    requests: Sequence[bytes],
    eval_rows: Iterable[bytes],
) -> Verdict:
    """Validates a model.

    Args:
      config: What to measure, the budgets, and by what the model ranks; as `scopes.for_infra_validation` has it.
      model_uri: The model artifact's folder, with the SavedModel and the trainer's own scores in it.
      baseline_uri: The serving model's; None on a first run.
      catalog_uri: The snapshot of the catalog that the model must have.
      requests: Recorded raw tf.Examples, serialized, which it must score.
      eval_rows: All raw evaluation examples of the run's own span, on which the trainer evaluated, in any order.

    Returns:
      The verdict.
    """
    settings = config.infra_validation
    if len(requests) < 2:  # the scores of one request cannot differ
        return Verdict((f"there must be at least 2 examples to score. Received: {len(requests)}",))
    own = read_trainer_predictions(model_uri)
    if own is None:
        return Verdict((f"the trainer must leave its own scores beside the model. There are none in {model_uri}",))
    ranking = None
    if RANK_SIGNATURE not in absent_signatures(config):
        ranking = ranking_requests(config, catalog_uri, requests)
    timed = _Timed.of(requests, config.item_id.name if config.item_id else None)
    with contextlib.ExitStack() as stack:
        # Both start at once: most of their time is TensorFlow's import.
        candidate = stack.enter_context(ModelProcess(model_uri, settings.timeout_seconds))
        baseline = stack.enter_context(ModelProcess(baseline_uri, settings.timeout_seconds)) if baseline_uri else None
        try:
            candidate.load()
            _check_signatures(candidate, config)
            _check_scores(candidate.scores(requests), candidate)
            catalog_skew = {} if ranking is None else dict(_compare_from_catalog(candidate, ranking))
            baseline_problem = _problem_of(baseline, requests, timed) if baseline else ""
            baseline = None if baseline_problem else baseline
            change = None if baseline is None else _change(candidate, baseline, requests, ranking)
            measured, before = _measure(settings, candidate, baseline, timed)
            comparisons = (
                compare_rows(own.rows, own.row_scores, candidate.scores(own.rows)),
                compare_ranked(own.rows, own.item_ids, own.row_scores, _scores_of_given_items(candidate, own)),
                compare_sorted(own.eval_scores, candidate.scores(eval_rows)),
            )
        except DryRunError as error:
            return Verdict((str(error),))
    skews = [skew.problem for skew in (*comparisons, *catalog_skew.values()) if skew.problem]
    problems = (*skews, *missed_budgets(settings, measured, before))
    num_items = 0 if ranking is None else ranking.num_items
    return Verdict(problems, measured, before, baseline_problem, *comparisons, catalog_skew, num_items, change)


def _change(
    candidate: ModelProcess, baseline: ModelProcess, requests: Sequence[bytes], ranking: RankingRequests | None
) -> float:
    """`largest_change` of all examples and ranked candidates; at least 1 where one of the two models has no `rank`.

    A new catalog may change the scores of `rank` alone.
    """
    change = largest_change(baseline.scores(requests), candidate.scores(requests))
    if (RANK_SIGNATURE in baseline.signatures) != (RANK_SIGNATURE in candidate.signatures):
        return max(change, 1.0)
    if ranking is None:
        return change
    asked = RANK_SIGNATURE, ranking.contexts, ranking.item_ids, ranking.items
    return max(change, largest_change(baseline.rank_scores(*asked), candidate.rank_scores(*asked)))


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


def _check_signatures(subject: ModelProcess, config: Config) -> None:
    """Raises DryRunError if the model lacks a signature that its config has, or ranks by one that it has not."""
    absent = absent_signatures(config)
    for name in RANKING_SIGNATURES:
        if name not in absent and name not in subject.signatures:
            found = sorted(subject.signatures)
            raise DryRunError(f"the model must have the signature {name!r}. Received: {found}")
        if name in absent and name in subject.signatures:
            raise DryRunError(f"the model must not have the signature {name!r}, since {absent[name]}")


def _compare_from_catalog(subject: ModelProcess, requests: RankingRequests) -> Iterator[tuple[str, Comparison]]:
    """By signature, what it makes of the requests against `serving_default`'s scores of whole examples."""
    is_candidate = np.array([item_id != b"" for item_id in requests.item_ids], bool)
    expected = np.zeros(len(requests.rows), np.float32)
    expected[is_candidate] = subject.scores(itertools.compress(requests.rows, is_candidate))
    # `rank_items` is given the features of every other candidate, and finds the others'.
    every_other = [item if i % 2 else b"" for i, item in enumerate(requests.items)]
    for name in RANKING_SIGNATURES:
        scores = subject.rank_scores(name, requests.contexts, requests.item_ids, every_other)
        _check_probabilities(scores, f"`{name}` gives")
        yield name, compare_from_catalog(name, requests, expected, scores)


def _scores_of_given_items(subject: ModelProcess, own: TrainerPredictions) -> np.ndarray:
    """The scores that the trainer's rows' items have when `rank_items` is given their features; 0 without an id."""
    if not any(own.item_ids):
        return np.zeros(len(own.rows), np.float32)
    # An Example serves for both: of the context features are read here, of the item features there.
    return subject.rank_scores(RANK_ITEMS_SIGNATURE, own.rows, own.item_ids, own.rows)


def _check_scores(scores: np.ndarray, subject: ModelProcess) -> None:
    """Raises DryRunError if scores are no probabilities, tell no request from another, or are of damaged variables."""
    damaged = subject.damaged_variables()
    where = f"; nor are values of its variables {', '.join(damaged[:5])}" if damaged else ""
    _check_probabilities(scores, "", where)
    if damaged:  # a ReLU makes 0 of a NaN
        raise DryRunError(
            f"every value of the model's variables must be finite. Received: others in {', '.join(damaged[:5])}"
        )
    lowest, highest = float(scores.min()), float(scores.max())
    if lowest == highest:
        raise DryRunError(f"scores must differ between requests. Received: {lowest:g} for all {scores.size}")


def _check_probabilities(scores: np.ndarray, of_what: str, where: str = "") -> None:
    """Raises DryRunError if scores are not finite or not in [0, 1]."""
    what = f" that {of_what}" if of_what else ""
    if bad := int(np.count_nonzero(~np.isfinite(scores))):
        raise DryRunError(f"every score{what} must be finite. Received: {bad} of {scores.size} that are not{where}")
    lowest, highest = float(scores.min()), float(scores.max())
    if lowest < 0 or highest > 1:
        raise DryRunError(f"scores{what} must lie in [0, 1]. Received: {lowest:g} to {highest:g}")


@dataclasses.dataclass(frozen=True)
class _Timed:
    """The request that is timed: `NUM_CANDIDATES` candidates, cycled from those that there are.

    Attributes:
      rows: The candidates as whole raw tf.Examples, of which the first has the request's context.
      item_ids: Their ids; an unknown one where no row has an id.
    """

    rows: list[bytes]
    item_ids: list[bytes]

    @classmethod
    def of(cls, requests: Sequence[bytes], identity: str | None) -> _Timed:
        """The logged requests; of a model with an item id, those that have one."""
        ids = [value_of(request, identity) for request in requests]
        chosen = [pair for pair in zip(requests, ids, strict=True) if pair[1]] or [(r, b"unknown") for r in requests]
        rows, item_ids = zip(*itertools.islice(itertools.cycle(chosen), NUM_CANDIDATES), strict=True)
        return cls(list(rows), list(item_ids))


def _problem_of(baseline: ModelProcess, requests: Sequence[bytes], timed: _Timed) -> str:
    """Why the serving model cannot be measured, which is no fault of the candidate's; empty if it can."""
    try:
        baseline.load()
        baseline.scores(requests)
        if baseline.served_by != SERVING_SIGNATURE:
            baseline.rank_scores(baseline.served_by, timed.rows[:1], timed.item_ids, timed.rows)
    except DryRunError as error:
        return str(error)
    return ""


def _measure(
    settings: InfraValidation, candidate: ModelProcess, baseline: ModelProcess | None, timed: _Timed
) -> tuple[Measurements, Measurements | None]:
    """Measures the candidate and, in turns with it, the serving model, each by the signature that serves."""
    subjects = [candidate] if baseline is None else [candidate, baseline]
    turns = range(0, settings.num_measurements, _REQUESTS_PER_TURN)
    for done, batch_size, subject in itertools.product(turns, BATCH_SIZES, subjects):
        repetitions = min(_REQUESTS_PER_TURN, settings.num_measurements - done)
        subject.time(timed.rows, timed.item_ids, batch_size, repetitions)
    before = None if baseline is None else baseline.measurements(NUM_CANDIDATES)
    return candidate.measurements(NUM_CANDIDATES), before
