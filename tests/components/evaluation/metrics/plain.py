"""Ranking metrics in plain Python, from their definitions: a tie is averaged over every order of its rows."""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Sequence
from typing import NamedTuple


class Request(NamedTuple):
    """One request: a label, a weight, and both models' scores for each row."""

    labels: list[int]
    weights: list[float]
    candidate: list[float]
    baseline: list[float]


def random_requests(number: int, seed: int, *, weighted: bool) -> list[Request]:
    """Returns requests of 1 to 8 rows, a third drawn without positives, with few distinct scores: most have ties."""
    draw = random.Random(seed)
    requests = []
    for _ in range(number):
        size = draw.randint(1, 8)
        rate = draw.choice([0.0, 0.3, 0.7])
        requests.append(
            Request(
                labels=[int(draw.random() < rate) for _ in range(size)],
                weights=[float(draw.choice([0, 0.5, 1, 2])) if weighted else 1.0 for _ in range(size)],
                candidate=[draw.choice([0.125, 0.25, 0.5, 0.75]) for _ in range(size)],
                baseline=[draw.choice([0.125, 0.25, 0.5, 0.75]) for _ in range(size)],
            )
        )
    return requests


@functools.cache
def orders(labels: tuple[int, ...], scores: tuple[float, ...]) -> list[list[int]]:
    """Returns the labels by descending score, once for each order of the tied rows; all orders are equally likely."""
    ways = []
    for score in sorted(set(scores), reverse=True):
        tied = [label for label, s in zip(labels, scores, strict=True) if s == score]
        places = itertools.combinations(range(len(tied)), sum(tied))
        ways.append([[int(i in positive) for i in range(len(tied))] for positive in places])
    return [[label for block in way for label in block] for way in itertools.product(*ways)]


def ndcg(ordered: Sequence[int], k: int) -> float:
    best = sorted(ordered, reverse=True)
    gains = [sum(label / math.log2(2 + i) for i, label in enumerate(found[:k])) for found in (ordered, best)]
    return gains[0] / gains[1]


def average_precision(ordered: Sequence[int], k: int) -> float:
    found = [sum(ordered[: i + 1]) / (i + 1) for i in range(min(k, len(ordered))) if ordered[i]]
    return sum(found) / min(k, sum(ordered))


def recall(ordered: Sequence[int], k: int) -> float:
    return sum(ordered[:k]) / sum(ordered)


AT_K = {"ndcg": ndcg, "map": average_precision, "recall": recall}


def auc(labels: Sequence[int], scores: Sequence[float], weights: Sequence[float]) -> float | None:
    """Returns the weighted AUC; None if a class has no weight."""
    rows = list(zip(labels, scores, weights, strict=True))
    won = pairs = 0.0
    for (label, score, weight), (other_label, other_score, other_weight) in itertools.product(rows, rows):
        if label == 1 and other_label == 0:
            pairs += weight * other_weight
            won += weight * other_weight * (1 if score > other_score else 0.5 if score == other_score else 0)
    return won / pairs if pairs else None


def gauc(requests: Sequence[Request], model: str) -> float:
    total = of_all = 0.0
    for request in requests:
        value = auc(request.labels, getattr(request, model), request.weights)
        if value is not None:
            total += value * sum(request.weights)
            of_all += sum(request.weights)
    return total / of_all


def mean_at_k(kind: str, requests: Sequence[Request], model: str, k: int) -> float:
    total = of_all = 0.0
    for request in requests:
        if any(request.labels):
            ways = orders(tuple(request.labels), tuple(getattr(request, model)))
            values = [AT_K[kind](ordered, k) for ordered in ways]
            weight = sum(request.weights) / len(request.weights)
            total += weight * sum(values) / len(values)
            of_all += weight
    return total / of_all
