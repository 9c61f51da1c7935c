"""How often the 95 % interval of a change covers the true change: `python -m benchmarks.interval_coverage`.

Simulates pairs of models with the same error distribution, so that the true change of every metric is 0. A user has
several requests; in all of them, a model's error has the same level and the same slope along the user's taste. The
bootstrap resamples examples, requests or users; only resampling users accounts for the correlation of a user's rows.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable

import numpy as np
from rich.progress import track
from rich.table import Table

from components.evaluation.metrics import replicates
from components.evaluation.metrics.bootstrap import Array, standard_errors, unit_hash
from components.evaluation.metrics.ranking import Measure, measure_groups
from components.evaluation.results import Z
from pipeline.cli.display import console_for

METRICS = ("auc", "auc_pr", "logloss", "calibration", "gauc", "ndcg@5")
_MEASURES = (Measure("gauc"), Measure("ndcg", 5))

#: Candidates per request, and the true logit's mean and standard deviation: about 7 % of the labels are 1.
_SIZE, _MEAN_LOGIT, _LOGIT_DEVIATION = 8, -3.0, 1.0

#: Standard deviations of a model's error: its part per row, its level per user, and its slope along the user's taste.
_BY_ROW, _BY_USER, _BY_TASTE = 0.4, 0.5, 0.4


@dataclasses.dataclass(frozen=True)
class Pair:
    """Scores of two models on the same rows, grouped by request.

    Attributes:
      users: The user of each request, int64 `[num_requests]`.
      labels: 0 or 1, float64 `[num_requests, size]`.
      scores: float64 `[num_requests, size, 2]`.
    """

    users: Array
    labels: Array
    scores: Array


def equal_models(draw: np.random.Generator, num_users: int) -> Pair:
    """Draws users, four requests of each on average, and the scores of two models."""
    activity = np.exp(draw.normal(0, 1, num_users))  # as in the simulated store
    users = np.repeat(np.arange(num_users), draw.poisson(4 * activity / activity.mean()))
    shape = (len(users), _SIZE)
    taste = draw.normal(0, 1, shape)
    truth = _MEAN_LOGIT + draw.normal(0, 0.5, num_users)[users][:, None] + _LOGIT_DEVIATION * taste
    labels = (draw.random(shape) < 1 / (1 + np.exp(-truth))).astype(float)
    level, slope = (deviation * draw.normal(0, 1, (num_users, 1, 2))[users] for deviation in (_BY_USER, _BY_TASTE))
    errors = level + slope * taste[..., None] + _BY_ROW * draw.normal(0, 1, (*shape, 2))
    return Pair(users, labels, 1 / (1 + np.exp(-truth[..., None] - errors)))


def _hashes(keys: Array) -> Array:
    distinct, places = np.unique(keys, return_inverse=True)
    return np.array([float(unit_hash(str(key).encode())) for key in distinct])[places]


#: The units that the bootstrap resamples: by name, a function that returns those of the rows and of the requests.
UNITS: dict[str, Callable[[Pair], tuple[Array, Array]]] = {
    "example": lambda pair: (_hashes(np.arange(pair.labels.size)), _hashes(np.arange(len(pair.users)))),
    "request": lambda pair: (
        _hashes(np.repeat(np.arange(len(pair.users)), _SIZE)),
        _hashes(np.arange(len(pair.users))),
    ),
    "user": lambda pair: (_hashes(np.repeat(pair.users, _SIZE)), _hashes(pair.users)),
}


def changes(pair: Pair) -> dict[tuple[str, str], tuple[float, float]]:
    """Returns, by metric and unit, the estimated change and half the width of its 95 % interval."""
    labels, weights, scores = pair.labels.ravel(), np.ones(pair.labels.size), pair.scores.reshape(-1, 2)
    group = np.repeat(np.arange(len(pair.users)), _SIZE)
    of_models = [measure_groups(_MEASURES, group, len(pair.users), labels, of_model, weights) for of_model in scores.T]
    values, of_values = (np.stack(arrays, axis=1) for arrays in zip(*of_models, strict=True))
    result = {}
    for unit, hashes in UNITS.items():
        of_rows, of_requests = hashes(pair)
        found = replicates.of_rows(of_rows, labels, weights, scores)
        means = replicates.means_of(replicates.sums_of_groups(of_requests, values, of_values))
        found |= {measure.name: means[..., number] for number, measure in enumerate(_MEASURES)}
        for name in METRICS:
            difference = found[name][:, 0] - found[name][:, 1]
            result[name, unit] = (float(difference[0]), Z * float(standard_errors(difference)))
    return result


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Coverage of the intervals of one metric with one kind of unit.

    Attributes:
      share: The share of intervals that contain the true change.
      half_width: The mean of half their width.
    """

    share: float
    half_width: float


def coverage(num_pairs: int, num_users: int, seed: int = 1) -> dict[tuple[str, str], Coverage]:
    """Simulates pairs and counts the intervals that cover 0, by metric and unit."""
    draw = np.random.default_rng(seed)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in track(range(num_pairs), "pairs", transient=True):
        for key, change in changes(equal_models(draw, num_users)).items():
            found.setdefault(key, []).append(change)
    return {key: _coverage(np.array(of)) for key, of in found.items()}


def _coverage(of_pairs: Array) -> Coverage:
    """Returns the coverage from all pairs' changes and half-widths, `[num_pairs, 2]`."""
    values, half_widths = of_pairs.T
    return Coverage(float((abs(values) <= half_widths).mean()), float(half_widths.mean()))


def main() -> None:
    """Prints, by metric and unit, the share of the intervals that cover the true change, and their half-width."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--users", type=int, default=300)
    arguments = parser.parse_args()
    found = coverage(arguments.pairs, arguments.users)
    title = (
        f"intervals of {arguments.pairs} pairs of equal models on {arguments.users} users that cover 0 (± half-width)"
    )
    table = Table(title=title)
    for column in ("metric", *(f"by {unit}" for unit in UNITS)):
        table.add_column(column, justify="right")
    for name in METRICS:
        of_units = [found[name, unit] for unit in UNITS]
        table.add_row(name, *(f"{of.share:.1%} (± {of.half_width:.4f})" for of in of_units))
    console_for(sys.stdout).print(table)


if __name__ == "__main__":
    main()
