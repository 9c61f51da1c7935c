"""Carries over a variable of the hidden layers: rows are inputs, columns are units; a vector has a value per unit.

What is new has no effect on the carried units, so that scores stay, and can learn at once: an input's weights to the
carried units are 0, while its values are not; a new unit reads its inputs with random weights, while the carried units
above read it with weights of 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.warm_start.row_matching import RowMatch
from transform.config import settings

#: Model settings whose change makes a hidden layer's previous weights meaningless.
LAYER_SETTINGS = ("activation", "batch_norm")


def common_layers(old: Mapping[str, Any], new: settings.Model) -> tuple[int, tuple[str, ...]]:
    """Returns the number of layers to carry over, from the first, and what is against more or changes one of them.

    Args:
      old: The old model's `hidden_units`, and its `LAYER_SETTINGS`, by name.
      new: The new model's settings.

    Returns:
      The number, with the last layer, of one unit, as one of them; and a sentence each for the report.
    """
    changed = [
        f"`{name}` changed from {old[name]} to {getattr(new, name)}"
        for name in LAYER_SETTINGS
        if old[name] != getattr(new, name)
    ]
    if changed:
        return 0, (f"the dense layers: {'; '.join(changed)}",)
    before, now = old["hidden_units"], new.hidden_units
    wider: list[str] = []
    for i, (units, new_units) in enumerate(zip(before, now, strict=False)):
        if new_units < units:
            fewer = f"dense_{i} and the layers above: the number of units fell from {units} to {new_units}"
            return i, (*wider, fewer)
        if new_units > units:
            wider.append(f"dense_{i}: {new_units - units} units are new, besides {units} that are carried")
    if len(before) == len(now):
        return len(now) + 1, tuple(wider)
    number = min(len(before), len(now))
    other = f"the number of hidden layers changed from {len(before)} to {len(now)}"
    return number, (*wider, f"dense_{number} and the layers above: {other}")


def carried_weights(initial: np.ndarray, old: np.ndarray, match: RowMatch, silent_rows: np.ndarray) -> np.ndarray:
    """Returns the values of a variable of the hidden layers.

    Args:
      initial: Its values at a cold start, float32 `[inputs, units]` or `[units]`.
      old: The old values, of as many dimensions.
      match: The rows that are carried, by copies only.
      silent_rows: The rows that are 0 in the columns of the carried units; none for a vector.

    Returns:
      The carried values, and 0 in the silent rows; all else as at a cold start.
    """
    weights, columns = initial.copy(), _common_columns(initial, old)
    weights[(silent_rows, *columns)] = 0.0
    weights[(match.new_rows, *columns)] = old[(match.old_rows, *columns)]
    return weights


def carried_state(initial: np.ndarray, old: np.ndarray, match: RowMatch) -> np.ndarray:
    """Returns an optimizer slot of such a variable; arguments as above.

    Returns:
      The carried values; in new rows, the mean over the carried ones; then in new columns, the mean over the row's
      other columns. As at a cold start if no row is carried.
    """
    state, columns = initial.copy(), _common_columns(initial, old)
    if not match.new_rows.size:
        return state
    carried = old[(match.old_rows, *columns)]
    state[(slice(None), *columns)] = carried.mean(axis=0)
    state[(match.new_rows, *columns)] = carried
    for units in columns:
        state[:, units.stop :] = state[:, units].mean(axis=1, keepdims=True)
    return state


def _common_columns(initial: np.ndarray, old: np.ndarray) -> tuple[Any, ...]:
    """The columns that both have, as a slice; empty for vectors."""
    return tuple(slice(0, min(sizes)) for sizes in zip(initial.shape[1:], old.shape[1:], strict=True))
