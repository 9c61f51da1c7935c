"""Scores a sample of served rankings again, each row by the version that ranked it: training-serving skew.

A row's features are those that its version scored, so that the version gives it the logged score again. Where it does
not, the cause is searched for in this order: the rows are another version's; a feature was missing, or had another of
its values, when they were ranked.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from components.data_validation.columns import Floats
from components.data_validation.evidence import Rescored
from components.infra_validation.skew import TOLERANCE
from transform.example_keys import SERVED_SCORE, SERVED_VERSION

#: A sample of so many rows finds a cause that one row in 500 has with a probability of 98 %.
MAX_RESCORED = 2_000

#: So many of the rows that differ are searched for the cause, with so many values of each feature.
_MAX_SEARCHED, _MAX_VALUES = 50, 20

#: The share of those rows that a cause explains.
_EXPLAINED = 0.8

#: Scores serialized tf.Examples: float `[rows]`.
Scorer: TypeAlias = Callable[[Sequence[bytes]], Floats]


def rescore(
    examples: Sequence[bytes],
    scorer_of: Callable[[str], Scorer | None],
    versions: Sequence[str],
    features: Sequence[str],
) -> Rescored:
    """Scores a sample of a span's examples again.

    Args:
      examples: The span's serialized tf.Examples, in an order by chance.
      scorer_of: Returns the scorer of a version; None if the version's files are gone, or it cannot score.
      versions: The versions that there are, the newest first.
      features: The names of the features in the examples.

    Returns:
      How many rows were scored again, how many of these differ by more than `TOLERANCE`, and the cause in words.
    """
    step = max(1, -(-len(examples) // MAX_RESCORED))
    parsed = [tf.train.Example.FromString(example) for example in examples[::step]]
    by_version: dict[str, list[tf.train.Example]] = collections.defaultdict(list)
    for example in parsed:
        if (version := _version(example)) is not None and _score(example) is not None:
            by_version[version].append(example)
    rows = different = 0
    largest, cause = 0.0, ""
    for version, of_version in sorted(by_version.items()):
        scorer = scorer_of(version)
        if scorer is None:
            continue
        gaps = _gaps(scorer, of_version)
        rows += len(gaps)
        wrong = [example for example, gap in zip(of_version, gaps, strict=True) if not gap <= TOLERANCE]
        different += len(wrong)
        largest = max(largest, float(np.max(gaps, initial=0.0)))
        if wrong and not cause:
            others = ((other, scorer_of(other)) for other in versions if other != version)
            cause = _cause(wrong[:_MAX_SEARCHED], of_version, scorer, others, features)
    return Rescored(len(parsed), rows, different, largest, cause)


def _cause(
    wrong: Sequence[tf.train.Example],
    known: Sequence[tf.train.Example],
    scorer: Scorer,
    others: Iterator[tuple[str, Scorer | None]],
    features: Sequence[str],
) -> str:
    """Returns why rows have other scores, in words that follow "the rows …"; empty if no cause was found."""
    for version, other in others:
        if other is not None and np.mean(_gaps(other, wrong) <= TOLERANCE) >= _EXPLAINED:
            return f"have the scores of version {version}"
    found: dict[str, float] = {}
    for name in features:
        values = _frequent_values(name, known)
        changed = [_with(example, name, value) for example in wrong for value in values]
        gaps = _gaps(scorer, changed).reshape(len(wrong), len(values))
        if np.mean(gaps[:, 0] <= TOLERANCE) >= _EXPLAINED:
            return f"have the scores that they would have without a value of `{name}`"
        found[name] = float(np.mean(np.min(gaps, axis=1) <= TOLERANCE))
    best = max(found, key=lambda name: found[name], default=None)
    if best is None or found[best] < _EXPLAINED:
        return ""
    return f"have the scores that they would have with other values of `{best}`"


def _frequent_values(name: str, examples: Sequence[tf.train.Example]) -> list[tf.train.Feature]:
    """Returns the most frequent values of a feature, after no value."""
    counted = collections.Counter(
        example.features.feature[name].SerializeToString(deterministic=True)
        for example in examples
        if name in example.features.feature
    )
    return [tf.train.Feature(), *(tf.train.Feature.FromString(value) for value, _ in counted.most_common(_MAX_VALUES))]


def _with(example: tf.train.Example, name: str, value: tf.train.Feature) -> tf.train.Example:
    changed = tf.train.Example.FromString(example.SerializeToString())
    changed.features.feature[name].CopyFrom(value)
    return changed


def _gaps(scorer: Scorer, examples: Sequence[tf.train.Example]) -> Floats:
    """Returns the distance of each row's score from its logged one."""
    logged = np.array([_score(example) for example in examples], np.float64)
    return np.abs(scorer([example.SerializeToString() for example in examples]) - logged)


def _version(example: tf.train.Example) -> str | None:
    values = example.features.feature[SERVED_VERSION].bytes_list.value
    return values[0].decode() if values else None


def _score(example: tf.train.Example) -> float | None:
    values = example.features.feature[SERVED_SCORE].float_list.value
    return float(values[0]) if values else None
