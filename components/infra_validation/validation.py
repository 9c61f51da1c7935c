"""The infra validation of one model: it must load, score, agree with trainer and catalog, and keep its budgets."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from components.infra_validation.attempts import judge
from components.infra_validation.baseline import NUM_CANDIDATES, Baseline, TimedRequest
from components.infra_validation.budgets import OtherLoad
from components.infra_validation.checks import check_explanations, check_scores, check_signatures, compare_rankings
from components.infra_validation.model_process import ModelProcess
from components.infra_validation.process import DryRunError, ProcessEndedError
from components.infra_validation.ranked import ranking_requests
from components.infra_validation.skew import compare_ranked, compare_rows, compare_sorted
from components.infra_validation.verdict import Comparison, Measurements, Verdict
from transform.config.component_settings import InfraSettings
from transform.files.trainer_predictions import TrainerPredictions, read_trainer_predictions
from transform.files.version_layout import CANDIDATE_COUNTS
from transform.ranking import absent_signatures
from transform.signature_names import RANK_ITEMS_SIGNATURE, RANK_SIGNATURE

#: The number of requests after which the models take turns, so that other load on the machine slows both alike.
_REQUESTS_PER_TURN = 20


def validate(
    config: InfraSettings,
    model_uri: str,
    baseline_uri: str | None,
    catalog_uri: str,
    requests: Sequence[bytes],
    eval_rows: Callable[[], Iterable[bytes]],
) -> Verdict:
    """Validates a model, in as many tries as `attempts.judge` needs.

    Args:
      config: The measurements and budgets, and what determines the ranking.
      model_uri: The model artifact's folder, with the SavedModel and the trainer's own scores in it.
      baseline_uri: The baseline artifact's folder; None on a first run.
      catalog_uri: The catalog snapshot that the model must have.
      requests: Recorded raw tf.Examples, serialized, which the model must score.
      eval_rows: Reads all raw evaluation examples of the run's own span, on which the trainer evaluated, in any order.

    Returns:
      The verdict.

    Raises:
      KilledDryRunError: If others killed the model's process in each try.
    """
    if len(requests) < 2:  # the scores of one request cannot differ
        return Verdict((f"there must be at least 2 examples to score. Received: {len(requests)}",))
    own = read_trainer_predictions(model_uri)
    if own is None:
        return Verdict((f"the trainer must write its predictions beside the model. There are none in {model_uri}",))

    def attempt() -> Verdict:
        return _in_processes(config, model_uri, baseline_uri, catalog_uri, requests, own, eval_rows())

    return judge(config.infra_validation, attempt)


def _in_processes(
    config: InfraSettings,
    model_uri: str,
    baseline_uri: str | None,
    catalog_uri: str,
    requests: Sequence[bytes],
    own: TrainerPredictions,
    eval_rows: Iterable[bytes],
) -> Verdict:
    """Validates once, without the budgets; raises ProcessEndedError if the candidate model's process ends."""
    timeout = config.infra_validation.timeout_seconds
    with contextlib.ExitStack() as stack:
        # Both processes start at once: most of their start-up time is TensorFlow's import.
        candidate = stack.enter_context(ModelProcess(model_uri, timeout))
        serving = stack.enter_context(ModelProcess(baseline_uri, timeout)) if baseline_uri else None
        pool = stack.enter_context(ThreadPoolExecutor(1))
        if serving:  # called first at the end: the thread may wait for the process, and needs its folder until it ends
            stack.callback(serving.kill)
        try:
            return _run(config, candidate, Baseline(serving), pool, catalog_uri, requests, own, eval_rows)
        except ProcessEndedError:
            raise
        except DryRunError as error:
            return Verdict((str(error),))


def _run(
    config: InfraSettings,
    candidate: ModelProcess,
    baseline: Baseline,
    pool: ThreadPoolExecutor,
    catalog_uri: str,
    requests: Sequence[bytes],
    own: TrainerPredictions,
    eval_rows: Iterable[bytes],
) -> Verdict:
    """Runs the candidate model beside the baseline; raises DryRunError for what ends the candidate's dry run."""
    ranking = None
    if RANK_SIGNATURE not in absent_signatures(config):
        ranking = ranking_requests(config, catalog_uri, requests)
    timed = TimedRequest.of(requests, config.item_id.name if config.item_id else None)
    candidate.load()
    # The baseline loads after the candidate model, whose time to load counts, and runs beside its checks.
    baseline.start(pool, requests, ranking, timed)
    check_signatures(candidate, config)
    check_scores(candidate.scores(requests), candidate)
    catalog_skew = {} if ranking is None else dict(compare_rankings(candidate, ranking))
    change = baseline.largest_change(candidate, requests, ranking)
    load = OtherLoad()
    measured, before = _measure(config.infra_validation.num_measurements, candidate, baseline, timed)
    machine = load.words()
    comparisons = _compare(candidate, own, eval_rows)
    # After the measurement of the memory, of which explanations of so many rows would take a share. A catalog that the
    # ranking signatures have shown to be wrong explains wrongly, too.
    is_wrong = any(skew.problem for skew in catalog_skew.values())
    check_explanations(candidate, requests, None if is_wrong else ranking)
    skews = tuple(skew.problem for skew in (*comparisons, *catalog_skew.values()) if skew.problem)
    num_items = 0 if ranking is None else ranking.num_items
    verdict = Verdict(skews, measured, before, baseline.problem, *comparisons, catalog_skew, num_items, change)
    return dataclasses.replace(verdict, machine=machine)


def _measure(
    num_measurements: int, candidate: ModelProcess, baseline: Baseline, timed: TimedRequest
) -> tuple[Measurements, Measurements | None]:
    """Measures the candidate model and, in turns with it, the baseline, each by the signature that serves."""
    turns = range(0, num_measurements, _REQUESTS_PER_TURN)
    for done, batch_size in itertools.product(turns, CANDIDATE_COUNTS):
        number = min(_REQUESTS_PER_TURN, num_measurements - done)
        candidate.time(timed.rows, timed.item_ids, batch_size, number)
        baseline.time(timed, batch_size, number)
    before = baseline.measurements()
    return candidate.measurements(NUM_CANDIDATES), before


def _compare(
    candidate: ModelProcess, own: TrainerPredictions, eval_rows: Iterable[bytes]
) -> tuple[Comparison, Comparison, Comparison]:
    """Compares the model's scores with the trainer's own: by row, by ranked item, and of all evaluation examples."""
    return (
        compare_rows(own.rows, own.row_scores, candidate.scores(own.rows)),
        compare_ranked(own.rows, own.item_ids, own.row_scores, _scores_of_given_items(candidate, own)),
        compare_sorted(own.eval_scores, candidate.scores(eval_rows)),
    )


def _scores_of_given_items(subject: ModelProcess, own: TrainerPredictions) -> np.ndarray:
    """Returns `rank_items`' scores of the items of the trainer's rows, given their features; 0 without an item id."""
    if not any(own.item_ids):
        return np.zeros(len(own.rows), np.float32)
    # One Example serves as both: the signature reads only context features of the one, only item features of the other.
    return subject.rank_scores(RANK_ITEMS_SIGNATURE, own.rows, own.item_ids, own.rows)
