"""A variable of the hidden layers: inputs are rows, units are columns."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.warm_start.layer_moving import carried_state, carried_weights, common_layers
from trainer.warm_start.row_matching import copied_rows, no_rows
from transform.config import settings

OLD = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
#: The old rows 2 and 0 become the rows 0 and 3 of four.
MATCH = copied_rows(np.array([0, 3]), np.array([2, 0]))
NOTHING = np.zeros(0, np.int64)


def test_new_inputs_are_silent_and_new_units_are_random() -> None:
    found = carried_weights(np.full((4, 3), -1, np.float32), OLD, MATCH, silent_rows=np.array([1]))
    assert found.tolist() == [[5, 6, -1], [0, 0, -1], [-1, -1, -1], [1, 2, -1]]
    assert carried_weights(np.full((4, 1), -1, np.float32), OLD, MATCH, np.array([2])).tolist() == [[5], [-1], [0], [1]]
    assert carried_weights(np.full(4, -1, np.float32), OLD[:, 0], MATCH, NOTHING).tolist() == [5, -1, -1, 1]


def test_the_state_of_what_is_new_is_the_mean_of_what_is_carried() -> None:
    """Over the carried rows the columns' means are 3 and 4; then over these two columns, the rows' means."""
    found = carried_state(np.full((4, 3), -1, np.float32), OLD, MATCH)
    assert found.tolist() == [[5, 6, 5.5], [3, 4, 3.5], [3, 4, 3.5], [1, 2, 1.5]]
    assert carried_state(np.full((4, 1), -1, np.float32), OLD, MATCH).tolist() == [[5], [3], [3], [1]]
    assert carried_state(np.full(4, -1, np.float32), OLD[:, 0], MATCH).tolist() == [5, 3, 3, 1]
    assert carried_state(np.full((1, 3), -1, np.float32), OLD, no_rows("")).tolist() == [[-1, -1, -1]]


@pytest.mark.parametrize(
    ("units", "number", "why"),
    [
        ((8, 4), 3, ()),
        ((8, 6), 3, ("dense_1: 2 units are new, besides 4 that are carried",)),
        ((7, 4), 0, ("dense_0 and the layers above: the number of units fell from 8 to 7",)),
        ((8,), 1, ("dense_1 and the layers above: the number of hidden layers changed from 2 to 1",)),
        (
            (10, 4, 4),
            2,
            (
                "dense_0: 2 units are new, besides 8 that are carried",
                "dense_2 and the layers above: the number of hidden layers changed from 2 to 3",
            ),
        ),
    ],
)
def test_layers_are_common_up_to_one_with_fewer_units(
    units: tuple[int, ...], number: int, why: tuple[str, ...]
) -> None:
    old = {"hidden_units": [8, 4], "activation": "relu", "batch_norm": False}
    assert common_layers(old, settings.Model(hidden_units=units)) == (number, why)
