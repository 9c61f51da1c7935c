"""The two truths of what a place does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.simulator.served.truth import TRUTHS, relevance

LOGITS = np.array([-3.0, -1.0, 0.5, 2.0])


def test_at_the_first_place_both_are_the_relevance() -> None:
    first = np.ones(4, dtype=np.int64)
    for probability in TRUTHS.values():
        assert probability(LOGITS, first) == pytest.approx([1 / (1 + math.exp(-logit)) for logit in LOGITS])
    assert relevance(LOGITS) == pytest.approx([1 / (1 + math.exp(-logit)) for logit in LOGITS])


def test_a_place_multiplies_the_relevance_or_adds_to_the_logit() -> None:
    for place in (2, 10):
        places = np.full(4, place)
        examined = [place**-0.7 / (1 + math.exp(-logit)) for logit in LOGITS]
        assert TRUTHS["examination"](LOGITS, places) == pytest.approx(examined)
        added = [1 / (1 + math.exp(0.7 * math.log(place) - logit)) for logit in LOGITS]
        assert TRUTHS["additive"](LOGITS, places) == pytest.approx(added)


def test_the_truths_differ_most_for_likely_items() -> None:
    """An item that is installed nearly always is so at any place, if the place adds to its logit."""
    likely, tenth = np.array([8.0]), np.array([10])
    assert TRUTHS["additive"](likely, tenth)[0] > 0.99
    assert TRUTHS["examination"](likely, tenth)[0] < 0.2
