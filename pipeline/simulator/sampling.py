"""Fast sampling: weighted draws from a table, and rows of distinct apps; and the types of the simulator's arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

_NUM_UNIFORM_DRAWS = 48
_EXACT_ROWS_AT_ONCE = 1024


def weighted_table(rng: np.random.Generator, weights: Floats, size: int) -> Ints:
    """Returns `size` indices in which index i occurs in proportion to `weights[i]`.

    A uniform draw from the table is a weighted draw at the cost of one look-up. The sample is stratified: index i
    occurs `size * weights[i] / sum(weights)` times, rounded up or down at random.

    Args:
      rng: The random number generator.
      weights: float64 [n], not negative, not all 0.
      size: The number of entries.

    Returns:
      int32 [size], ascending.
    """
    cumulative = np.cumsum(weights, dtype=np.float64)
    points = (np.arange(size) + rng.random(size)) / size * cumulative[-1]
    table: Ints = np.searchsorted(cumulative[:-1], points, side="right").astype(np.int32)
    return table


def choose_distinct(
    rng: np.random.Generator, candidates: Ints, sizes: Ints, num_apps: int, excluded: Ints | None = None
) -> Ints:
    """Selects from each row its first `sizes[r]` candidates that are neither repeated nor excluded.

    A row with too few such candidates is filled with uniform draws from all apps.

    Args:
      rng: The random number generator.
      candidates: int32 [rows, draws], app slots in order of preference.
      sizes: int [rows], number of apps to select in each row.
      num_apps: The number of app slots; at least `max(sizes)` plus the excluded apps of a row.
      excluded: int32 [rows, k], app slots that the row must not contain, padded with -1; None for no exclusions.

    Returns:
      int32 [rows, max(sizes)], padded with -1 after each row's `sizes[r]` apps.
    """
    chosen = np.full((len(candidates), int(sizes.max(initial=0))), -1, dtype=np.int32)
    short = _fill(chosen, np.arange(len(candidates)), candidates, sizes, excluded)
    if len(short):
        uniform = rng.integers(0, num_apps, (len(short), _NUM_UNIFORM_DRAWS), dtype=np.int32)
        extended = np.concatenate([candidates[short], uniform], axis=1)
        short = _fill(chosen, short, extended, sizes, excluded)
    # Reached only if a row excludes nearly all apps: then all apps in random order are enough.
    for start in range(0, len(short), _EXACT_ROWS_AT_ONCE):
        rows = short[start : start + _EXACT_ROWS_AT_ONCE]
        shuffled = rng.permuted(np.tile(np.arange(num_apps, dtype=np.int32), (len(rows), 1)), axis=1)
        _fill(chosen, rows, np.concatenate([candidates[rows], shuffled], axis=1), sizes, excluded)
    return chosen


def _fill(chosen: Ints, rows: Ints, candidates: Ints, sizes: Ints, excluded: Ints | None) -> Ints:
    """Writes the rows' first valid candidates to `chosen`; returns the rows that have too few."""
    valid = ~_repeated(candidates)
    if excluded is not None:
        row_excluded = excluded[rows]
        for k in range(excluded.shape[1]):
            valid &= candidates != row_excluded[:, k, None]
    rank = np.cumsum(valid, axis=1, dtype=np.int16)
    keep = valid & (rank <= sizes[rows, None])
    row, column = np.nonzero(keep)
    chosen[rows[row], rank[row, column] - 1] = candidates[row, column]
    return rows[rank[:, -1] < sizes[rows]]


def _repeated(candidates: Ints) -> Bools:
    """Returns bool [rows, draws]: whether the same app occurs earlier in the row."""
    repeated = np.zeros(candidates.shape, dtype=bool)
    if candidates.shape[1] > 64:
        order = np.argsort(candidates, axis=1, kind="stable")
        ordered = np.take_along_axis(candidates, order, axis=1)
        same = np.zeros(candidates.shape, dtype=bool)
        same[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
        np.put_along_axis(repeated, order, same, axis=1)
        return repeated
    for shift in range(1, candidates.shape[1]):
        repeated[:, shift:] |= candidates[:, shift:] == candidates[:, :-shift]
    return repeated
