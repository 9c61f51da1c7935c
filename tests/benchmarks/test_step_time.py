"""Short form of the benchmark of step time against table size."""

from __future__ import annotations

import pytest

from benchmarks.step_time import Times, make_step, measure


def test_ratios_are_taken_round_by_round() -> None:
    times = Times(small=((1.0, 2.0), (2.0, 4.0), (4.0, 8.0)), large=((3.0, 2.0), (3.0, 6.0), (2.0, 40.0)))
    assert times.ratios == [3.0, 1.5, 0.5]
    assert times.processor_ratio == 1.5


def test_a_rounds_time_is_that_of_one_step() -> None:
    done: dict[str, list[int]] = {"small": [], "large": []}
    times = measure(done["small"].append, done["large"].append, num_rounds=3)
    assert len(times.small) == len(times.large) == 3
    assert done["small"] == done["large"] == list(range(20))  # 2 uncounted rounds and 3 counted ones, of 4 steps each


@pytest.mark.parametrize("distinct_ids", [100, 2_000])
def test_steps_of_both_sizes_are_timed(distinct_ids: int) -> None:
    times = measure(make_step(100, 100, 32, (8,)), make_step(2_000, distinct_ids, 32, (8,)), num_rounds=1)
    assert all(wall > 0 and processor > 0 for wall, processor in (*times.small, *times.large))
