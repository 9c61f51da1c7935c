"""The infra validation of one model: it must load, score, agree with trainer and catalog, and keep its budgets."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from components.infra_validation.budgets import missed_budgets
from components.infra_validation.model_process import ModelProcess
from components.infra_validation.process import DryRunError
from components.infra_validation.ranked import RankingRequests, ranking_requests
from components.infra_validation.requests import first_value
from components.infra_validation.skew import (
    TOLERANCE,
    compare_from_catalog,
    compare_ranked,
    compare_rows,
    compare_sorted,
)
from components.infra_validation.verdict import Comparison, Measurements, Verdict
from transform.config.component_settings import InfraSettings
from transform.config.infra_validation import InfraValidation
from transform.files.trainer_predictions import TrainerPredictions, read_trainer_predictions
from transform.files.version_layout import CANDIDATE_COUNTS
from transform.ranking import RANKING_SIGNATURES, absent_signatures
from transform.signature_names import (
    EXPLAIN_ITEMS_SIGNATURE,
    EXPLAIN_SIGNATURE,
    RANK_ITEMS_SIGNATURE,
    RANK_SIGNATURE,
    SERVING_SIGNATURE,
)

#: The number of candidate items in the request that is timed.
NUM_CANDIDATES = max(CANDIDATE_COUNTS)

#: The number of requests after which the models take turns, so that other load on the machine slows both alike.
_REQUESTS_PER_TURN = 20

#: The rows that each explaining signature explains: a row takes a hundred times as long as its score.
_NUM_EXPLAINED = 20


def validate(
    config: InfraSettings,
    model_uri: str,
    baseline_uri: str | None,
    catalog_uri: str,
    requests: Sequence[bytes],
    eval_rows: Iterable[bytes],
) -> Verdict:
    """Validates a model.

    Args:
      config: The measurements and budgets, and what determines the ranking.
      model_uri: The model artifact's folder, with the SavedModel and the trainer's own scores in it.
      baseline_uri: The serving model artifact's folder; None on a first run.
      catalog_uri: The catalog snapshot that the model must have.
      requests: Recorded raw tf.Examples, serialized, which the model must score.
      eval_rows: All raw evaluation examples of the run's own span, on which the trainer evaluated, in any order.

    Returns:
      The verdict.
    """
    settings = config.infra_validation
    if len(requests) < 2:  # the scores of one request cannot differ
        return Verdict((f"there must be at least 2 examples to score. Received: {len(requests)}",))
    own = read_trainer_predictions(model_uri)
    if own is None:
        return Verdict((f"the trainer must write its predictions beside the model. There are none in {model_uri}",))
    ranking = None
    if RANK_SIGNATURE not in absent_signatures(config):
        ranking = ranking_requests(config, catalog_uri, requests)
    timed = _Timed.of(requests, config.item_id.name if config.item_id else None)
    with contextlib.ExitStack() as stack:
        # Both processes start at once: most of their start-up time is TensorFlow's import.
        candidate = stack.enter_context(ModelProcess(model_uri, settings.timeout_seconds))
        baseline = stack.enter_context(ModelProcess(baseline_uri, settings.timeout_seconds)) if baseline_uri else None
        pool = stack.enter_context(ThreadPoolExecutor(1))
        if baseline:  # called first at the end: the thread may wait for the process, and needs its folder until it ends
            stack.callback(baseline.kill)
        try:
            candidate.load()
            # The serving model loads after the candidate model, whose time to load counts, and runs beside its checks.
            serving = pool.submit(_serving_scores, baseline, requests, ranking, timed) if baseline else None
            _check_signatures(candidate, config)
            _check_scores(candidate.scores(requests), candidate)
            catalog_skew = {} if ranking is None else dict(_compare_from_catalog(candidate, ranking))
            served: _ServingScores | None = None
            baseline_problem = ""
            if serving is not None:
                try:
                    served = serving.result()
                except DryRunError as error:  # a serving model that cannot be run does not refuse the candidate model
                    baseline, baseline_problem = None, str(error)
            change = None if served is None else _change(candidate, served, requests, ranking)
            measured, before, failure = _measure(settings, candidate, baseline, timed)
            baseline_problem = baseline_problem or failure
            comparisons = (
                compare_rows(own.rows, own.row_scores, candidate.scores(own.rows)),
                compare_ranked(own.rows, own.item_ids, own.row_scores, _scores_of_given_items(candidate, own)),
                compare_sorted(own.eval_scores, candidate.scores(eval_rows)),
            )
            # After the measurement of the memory, of which explanations of so many rows would take a share. A catalog
            # that the ranking signatures have shown to be wrong explains wrongly, too.
            is_wrong = any(skew.problem for skew in catalog_skew.values())
            _check_explanations(candidate, requests, None if is_wrong else ranking)
        except DryRunError as error:
            return Verdict((str(error),))
    skews = [skew.problem for skew in (*comparisons, *catalog_skew.values()) if skew.problem]
    problems = (*skews, *missed_budgets(settings, measured, before))
    num_items = 0 if ranking is None else ranking.num_items
    return Verdict(problems, measured, before, baseline_problem, *comparisons, catalog_skew, num_items, change)


@dataclasses.dataclass(frozen=True)
class _ServingScores:
    """The serving model's scores.

    Attributes:
      requests: Of the requests, float32 `[requests]`.
      ranked: Of `rank`'s candidate items, float32 `[candidates]`; None if the model has no `rank`, or none is required.
      has_rank: Whether the model has `rank`.
    """

    requests: np.ndarray
    ranked: np.ndarray | None
    has_rank: bool


def _serving_scores(
    baseline: ModelProcess, requests: Sequence[bytes], ranking: RankingRequests | None, timed: _Timed
) -> _ServingScores:
    """Loads the serving model, calls it once as it will be timed, and scores; raises DryRunError if that fails."""
    baseline.load()
    if baseline.served_by != SERVING_SIGNATURE:
        baseline.rank_scores(baseline.served_by, timed.rows[:1], timed.item_ids, timed.rows)
    has_rank = RANK_SIGNATURE in baseline.signatures
    ranked = _rank_scores(baseline, ranking) if has_rank and ranking is not None else None
    return _ServingScores(baseline.scores(requests), ranked, has_rank)


def _rank_scores(subject: ModelProcess, ranking: RankingRequests) -> np.ndarray:
    return subject.rank_scores(RANK_SIGNATURE, ranking.contexts, ranking.item_ids, ranking.items)


def _change(
    candidate: ModelProcess, serving: _ServingScores, requests: Sequence[bytes], ranking: RankingRequests | None
) -> float:
    """Returns `largest_change` of all examples and ranked candidate items; at least 1 if only one model has `rank`.

    It includes `rank`, since a new catalog may change only the scores of `rank`.
    """
    change = largest_change(serving.requests, candidate.scores(requests))
    if serving.has_rank != (RANK_SIGNATURE in candidate.signatures):
        return max(change, 1.0)
    if ranking is None or serving.ranked is None:
        return change
    return max(change, largest_change(serving.ranked, _rank_scores(candidate, ranking)))


def largest_change(before: np.ndarray, after: np.ndarray) -> float:
    """Returns the largest relative difference of two models' scores of the same rows.

    It is max |after - before| / before: 0.25 if the scores 0.1 and 0.16 become 0.1 and 0.2.

    Args:
      before: One model's scores, float32 `[n]` in [0, 1].
      after: The other model's scores, float32 `[n]` in [0, 1].
    """
    smallest = float(np.finfo(np.float32).tiny)  # avoids 0 / 0: a score that stays 0 has not changed
    old = before.astype(np.float64)
    return float(np.max(np.abs(after - old) / np.maximum(old, smallest)))


def _check_signatures(subject: ModelProcess, config: InfraSettings) -> None:
    """Raises DryRunError if the model lacks a ranking signature that its config requires, or has an excluded one."""
    absent = absent_signatures(config)
    for name in RANKING_SIGNATURES:
        if name not in absent and name not in subject.signatures:
            found = sorted(subject.signatures)
            raise DryRunError(f"the model must have the signature {name!r}. Received: {found}")
        if name in absent and name in subject.signatures:
            raise DryRunError(f"the model must not have the signature {name!r}, since {absent[name]}")


def _compare_from_catalog(subject: ModelProcess, requests: RankingRequests) -> Iterator[tuple[str, Comparison]]:
    """Yields, for each ranking signature, the comparison with `serving_default`'s scores of whole examples."""
    is_candidate = np.array([item_id != b"" for item_id in requests.item_ids], bool)
    expected = np.zeros(len(requests.rows), np.float32)
    expected[is_candidate] = subject.scores(itertools.compress(requests.rows, is_candidate))
    # `rank_items` receives the features of every other candidate, and looks up the others' in the catalog.
    every_other = [item if i % 2 else b"" for i, item in enumerate(requests.items)]
    for name in RANKING_SIGNATURES:
        scores = subject.rank_scores(name, requests.contexts, requests.item_ids, every_other)
        _check_probabilities(scores, f"`{name}` gives")
        yield name, compare_from_catalog(name, requests, expected, scores)


def _scores_of_given_items(subject: ModelProcess, own: TrainerPredictions) -> np.ndarray:
    """Returns `rank_items`' scores of the items of the trainer's rows, given their features; 0 without an item id."""
    if not any(own.item_ids):
        return np.zeros(len(own.rows), np.float32)
    # One Example serves as both: the signature reads only context features of the one, only item features of the other.
    return subject.rank_scores(RANK_ITEMS_SIGNATURE, own.rows, own.item_ids, own.rows)


def _check_explanations(subject: ModelProcess, requests: Sequence[bytes], ranking: RankingRequests | None) -> None:
    """Raises DryRunError if explanations do not add up to the scores of `serving_default`.

    A model without the signatures passes. `explain_items` is checked on items that the catalog has to supply.
    """
    explained: list[tuple[str, list[bytes], np.ndarray]] = []
    if EXPLAIN_SIGNATURE in subject.signatures:
        rows = list(requests[:_NUM_EXPLAINED])
        explained.append((EXPLAIN_SIGNATURE, rows, subject.explained_scores(EXPLAIN_SIGNATURE, rows)))
    if EXPLAIN_ITEMS_SIGNATURE in subject.signatures and ranking is not None:
        some = [i for i, item_id in enumerate(ranking.item_ids) if item_id != b""][:_NUM_EXPLAINED]
        contexts = [ranking.contexts[i // ranking.num_candidates] for i in some]
        item_ids, nothing = [ranking.item_ids[i] for i in some], [b""] * len(some)
        scores = subject.explained_scores(EXPLAIN_ITEMS_SIGNATURE, contexts, item_ids, nothing)
        explained.append((EXPLAIN_ITEMS_SIGNATURE, [ranking.rows[i] for i in some], scores))
    for name, rows, scores in explained:
        off = float(np.max(np.abs(scores - subject.scores(rows)), initial=0))
        if not off <= TOLERANCE:
            raise DryRunError(
                f"explanations by `{name}` must add up to the score, to {TOLERANCE:g}. "
                f"Received: a difference of {off:.3g}"
            )


def _check_scores(scores: np.ndarray, subject: ModelProcess) -> None:
    """Raises DryRunError if scores are no probabilities or all equal, or if a value of a variable is not finite."""
    damaged = subject.damaged_variables()
    where = f"; nor are values of its variables {', '.join(damaged[:5])}" if damaged else ""
    _check_probabilities(scores, "", where)
    if damaged:  # scores may still be finite: a ReLU turns NaN into 0
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
    """The request that is timed: `NUM_CANDIDATES` candidate items, cycled from the available ones.

    Attributes:
      rows: The candidates as whole raw tf.Examples; the first one's context is the request's.
      item_ids: Their ids; an unknown id if no row has an id.
    """

    rows: list[bytes]
    item_ids: list[bytes]

    @classmethod
    def of(cls, requests: Sequence[bytes], item_id: str | None) -> _Timed:
        """Selects logged requests with an item id; all of them if none has one."""
        ids = [first_value(request, item_id) for request in requests]
        chosen = [pair for pair in zip(requests, ids, strict=True) if pair[1]] or [(r, b"unknown") for r in requests]
        rows, item_ids = zip(*itertools.islice(itertools.cycle(chosen), NUM_CANDIDATES), strict=True)
        return cls(list(rows), list(item_ids))


def _measure(
    settings: InfraValidation, candidate: ModelProcess, baseline: ModelProcess | None, timed: _Timed
) -> tuple[Measurements, Measurements | None, str]:
    """Measures the candidate model and, in turns with it, the serving model, each by the signature that serves.

    Returns:
      The candidate model's measurements; the serving model's, None if there is none or it failed; and why it failed,
      which does not refuse the candidate model, else an empty text.
    """
    failure = ""
    turns = range(0, settings.num_measurements, _REQUESTS_PER_TURN)
    for done, batch_size in itertools.product(turns, CANDIDATE_COUNTS):
        request = timed.rows, timed.item_ids, batch_size, min(_REQUESTS_PER_TURN, settings.num_measurements - done)
        candidate.time(*request)
        if baseline is not None:
            try:
                baseline.time(*request)
            except DryRunError as error:
                baseline, failure = None, str(error)
    before = None
    if baseline is not None:
        try:
            before = baseline.measurements(NUM_CANDIDATES)
        except DryRunError as error:
            failure = str(error)
    return candidate.measurements(NUM_CANDIDATES), before, failure
