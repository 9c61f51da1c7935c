"""Comparisons of scores: the exported model's with the trainer's own, and `rank`'s with those of whole examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from components.infra_validation.ranked import RankingRequests
from components.infra_validation.verdict import Comparison
from transform.signature_names import SERVING_SIGNATURE

#: The largest difference of scores that agree. Summation in another order changes scores by about 1e-7.
TOLERANCE = 1e-5

_MAX_ROW_LENGTH = 300


def compare_rows(rows: Sequence[bytes], expected: np.ndarray, received: np.ndarray) -> Comparison:
    """Compares scores row by row.

    Args:
      rows: Serialized raw tf.Examples.
      expected: The trainer's scores, float32 `[rows]`.
      received: The exported model's scores, float32 `[rows]`.
    """
    different, worst, difference = _difference(expected, received)
    problem = "" if not different else (
        f"the exported model must score logged rows as the trainer does, to {TOLERANCE:g}. Received: {different:,} of "
        f"{len(rows):,} differ, by up to {difference:.3g}; such as {received[worst]:.6f} in place of "
        f"{expected[worst]:.6f} for {_as_text(rows[worst])}"
    )  # fmt: skip
    return Comparison(len(rows), different, difference, problem)


def compare_ranked(
    rows: Sequence[bytes], item_ids: Sequence[bytes], expected: np.ndarray, received: np.ndarray
) -> Comparison:
    """Compares the scores of the rows' items when they are ranked; rows without an item id are left out.

    Args:
      rows: Serialized raw tf.Examples.
      item_ids: Each row's item id; empty if it has none.
      expected: The trainer's scores, float32 `[rows]`.
      received: The exported model's scores, ranking each row's item for the row's context, float32 `[rows]`.
    """
    has_id = np.array([item_id != b"" for item_id in item_ids], bool)
    kept = [row for row, is_kept in zip(rows, has_id, strict=True) if is_kept]
    comparison = compare_rows(kept, expected[has_id], received[has_id])
    return dataclasses.replace(comparison, problem=comparison.problem.replace("must score", "must rank", 1))


def compare_from_catalog(
    signature: str, requests: RankingRequests, expected: np.ndarray, received: np.ndarray
) -> Comparison:
    """Compares a signature's scores of contexts and item ids with those of whole examples made from the catalog.

    Args:
      signature: The signature's name.
      requests: The requests that it scored.
      expected: `serving_default`'s scores of the whole examples, float32 `[candidates]`; 0 for an empty id.
      received: The signature's scores of the candidates, float32 `[candidates]`.
    """
    different, worst, difference = _difference(expected, received)
    problem = "" if not different else (
        f"`{signature}` must score items by the model's catalog as `{SERVING_SIGNATURE}` scores whole examples made "
        f"from the run's, to {TOLERANCE:g}. Received: {different:,} of {len(requests.rows):,} candidates differ, by up "
        f"to {difference:.3g}; such as {received[worst]:.6f} in place of {expected[worst]:.6f} for the item "
        f"{requests.item_ids[worst].decode(errors='replace')!r} of {_as_text(requests.rows[worst])}"
    )  # fmt: skip
    return Comparison(len(requests.rows), different, difference, problem)


def compare_sorted(expected: np.ndarray, received: np.ndarray) -> Comparison:
    """Compares sorted scores, since the rows of one side have no key: the lowest with the lowest, and so on.

    If no score differs by more than ε, no sorted score does, so this refuses no model that agrees row by row. It adds
    to `compare_rows` that the trainer's scores here are of examples that tf.Transform wrote.

    Args:
      expected: The trainer's scores of transformed evaluation examples, float32, ascending.
      received: The exported model's scores of the raw examples, in any order.
    """
    if expected.size != received.size:
        problem = (
            "the trainer must have evaluated on as many examples as were logged. "
            f"Received: {expected.size:,} for {received.size:,}"
        )
        return Comparison(received.size, abs(expected.size - received.size), 1.0, problem)
    different, _, difference = _difference(expected, np.sort(received))
    problem = "" if not different else (
        "the exported model must score the logged examples as the trainer scored the transformed ones, to "
        f"{TOLERANCE:g}: its transform graph or a vocabulary is not the one that made them. Received: {different:,} of "
        f"{received.size:,} sorted scores differ, by up to {difference:.3g}"
    )  # fmt: skip
    return Comparison(received.size, different, difference, problem)


def _difference(expected: np.ndarray, received: np.ndarray) -> tuple[int, int, float]:
    """Returns how many scores differ, the index of the one that differs most, and its difference."""
    if expected.size == 0:
        return 0, 0, 0.0
    differences = np.abs(expected.astype(np.float64) - received)
    differences = np.where(np.isfinite(differences), differences, 1.0)
    worst = int(np.argmax(differences))
    return int(np.count_nonzero(differences > TOLERANCE)), worst, float(differences[worst])


def _as_text(row: bytes) -> str:
    """Formats a row for a message: its features by name, and their values."""
    features = tf.train.Example.FromString(row).features.feature
    words = []
    for name in sorted(features):
        values = features[name]
        texts = [value.decode(errors="replace") for value in values.bytes_list.value]
        words.append(f"{name} {[*texts, *values.float_list.value, *values.int64_list.value]}")
    text = ", ".join(words) or "a row without a feature"
    return text if len(text) <= _MAX_ROW_LENGTH else f"{text[:_MAX_ROW_LENGTH]} …"
