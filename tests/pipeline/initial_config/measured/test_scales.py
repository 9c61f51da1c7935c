"""The scale of a number."""

from __future__ import annotations

import pytest

from pipeline.initial_config.measured.scales import choose_scale


@pytest.mark.parametrize(
    ("numbers", "scale"),
    [
        # Even steps: the skewness is 0, and that of the logarithms, whose steps get shorter, is negative.
        ([1.0, 2.0, 3.0, 4.0, 5.0], "standard"),
        # ln(1 + x) has even steps.
        ([0.0, 1.0, 3.0, 7.0, 15.0], "log"),
        ([-15.0, -7.0, -3.0, -1.0, 0.0], "log"),
        ([4.0, 4.0, 4.0], "log"),  # both are 0
    ],
)
def test_the_scale_is_that_of_the_smaller_skewness(numbers: list[float], scale: str) -> None:
    assert choose_scale(numbers) == scale
