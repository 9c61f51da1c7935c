"""The baseline in a process of its own, measured beside the candidate model."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from components.infra_validation.model_process import ModelProcess
from components.infra_validation.process import DryRunError
from components.infra_validation.ranked import RankingRequests
from components.infra_validation.verdict import Measurements
from transform.files.records import first_value
from transform.files.version_layout import CANDIDATE_COUNTS
from transform.signature_names import RANK_SIGNATURE, SERVING_SIGNATURE

#: The number of candidate items in the request that is timed.
NUM_CANDIDATES = max(CANDIDATE_COUNTS)

_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class TimedRequest:
    """The request that is timed: `NUM_CANDIDATES` candidate items, cycled from the available ones.

    Attributes:
      rows: The candidates as whole raw tf.Examples; the first one's context is the request's.
      item_ids: Their ids; an unknown id if no row has an id.
    """

    rows: list[bytes]
    item_ids: list[bytes]

    @classmethod
    def of(cls, requests: Sequence[bytes], item_id: str | None) -> TimedRequest:
        """Selects logged requests with an item id; all of them if none has one."""
        ids = [first_value(request, item_id) for request in requests]
        chosen = [pair for pair in zip(requests, ids, strict=True) if pair[1]] or [(r, b"unknown") for r in requests]
        rows, item_ids = zip(*itertools.islice(itertools.cycle(chosen), NUM_CANDIDATES), strict=True)
        return cls(list(rows), list(item_ids))


class _Scores(NamedTuple):
    """The baseline's scores.

    Attributes:
      requests: Of the requests, float32 `[requests]`.
      ranked: Of `rank`'s candidate items, float32 `[candidates]`; None if the model has no `rank`, or none is required.
      has_rank: Whether the model has `rank`.
    """

    requests: np.ndarray
    ranked: np.ndarray | None
    has_rank: bool


class Baseline:
    """The baseline; that there is none, or that it cannot be run, refuses no candidate model.

    Attributes:
      problem: Why it could not be run; empty if it could, or if there is none.
    """

    def __init__(self, process: ModelProcess | None):
        self.problem = ""
        self._process = process
        self._scores: Future[_Scores] | None = None

    def start(
        self, pool: ThreadPoolExecutor, requests: Sequence[bytes], ranking: RankingRequests | None, timed: TimedRequest
    ) -> None:
        """Begins to load the model, to call it once as it will be timed, and to score."""
        if self._process is not None:
            self._scores = pool.submit(_score, self._process, requests, ranking, timed)

    def largest_change(
        self, candidate: ModelProcess, requests: Sequence[bytes], ranking: RankingRequests | None
    ) -> float | None:
        """Returns `largest_change` of all examples and ranked candidate items; at least 1 if only one model has `rank`.

        It includes `rank`, since a new catalog may change only the scores of `rank`. None without the model's scores.
        """
        pending = self._scores
        scores = None if pending is None else self._try(lambda process: pending.result())
        if scores is None:
            return None
        change = largest_change(scores.requests, candidate.scores(requests))
        if scores.has_rank != (RANK_SIGNATURE in candidate.signatures):
            return max(change, 1.0)
        if ranking is None or scores.ranked is None:
            return change
        return max(change, largest_change(scores.ranked, _rank_scores(candidate, ranking)))

    def time(self, timed: TimedRequest, batch_size: int, number: int) -> None:
        """Times a request several times."""
        self._try(lambda process: process.time(timed.rows, timed.item_ids, batch_size, number))

    def measurements(self) -> Measurements | None:
        """Returns the model's costs; None if it could not be run."""
        return self._try(lambda process: process.measurements(NUM_CANDIDATES))

    def _try(self, call: Callable[[ModelProcess], _Result]) -> _Result | None:
        """Calls a function of the model's process; after an error, the model is run no more."""
        if self._process is None:
            return None
        try:
            return call(self._process)
        except DryRunError as error:
            self._process, self.problem = None, str(error)
            return None


def _score(
    process: ModelProcess, requests: Sequence[bytes], ranking: RankingRequests | None, timed: TimedRequest
) -> _Scores:
    """Loads the model, calls it once as it will be timed, and scores; raises DryRunError if that fails."""
    process.load()
    if process.served_by != SERVING_SIGNATURE:
        process.rank_scores(process.served_by, timed.rows[:1], timed.item_ids, timed.rows)
    has_rank = RANK_SIGNATURE in process.signatures
    ranked = _rank_scores(process, ranking) if has_rank and ranking is not None else None
    return _Scores(process.scores(requests), ranked, has_rank)


def _rank_scores(subject: ModelProcess, ranking: RankingRequests) -> np.ndarray:
    return subject.rank_scores(RANK_SIGNATURE, ranking.contexts, ranking.item_ids, ranking.items)


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
