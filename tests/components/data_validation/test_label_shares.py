"""Rules on the share of label 1: slow losses, which the spans before follow, and good stores, by simulated days."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable

import pytest

from components.data_validation.decision import decide
from components.data_validation.evidence import SpanEvidence
from components.data_validation.label_rules.shares import label_anchor
from components.gate_records import Finding
from tests.components.data_validation.hand_written import span
from transform.config.drift import Drift

#: By weekday: the share of label 1 and the number of rows, as multiples of the mean.
WEEK = ((0.95, 0.9), (0.93, 0.9), (0.94, 0.9), (0.97, 0.95), (1.0, 1.0), (1.13, 1.2), (1.08, 1.15))

#: The good days before a change; the first two weeks of a store's reference spans.
NUM_GOOD = 14


def simulated(
    num_days: int,
    level: Callable[[int], float] = lambda day: 1.0,
    traffic: Callable[[int], float] = lambda day: 1.0,
    *,
    rows: int = 20_000,
    seed: int = 1,
    is_foreseen: bool = False,
) -> list[SpanEvidence]:
    """Returns days with a share of label 1 of 7 %, times that of the weekday, 4 % of noise, chance, and `level`.

    The baseline was trained on the day before: it knows the weekday and the level of that day; or of its own day,
    as of a holiday that is a feature, if `is_foreseen`.
    """
    rng = random.Random(seed)
    found = []
    for day in range(num_days):
        of_week, rows_of_week = WEEK[day % 7]
        number = round(rows * rows_of_week * traffic(day) * rng.uniform(0.95, 1.05))
        expected = 0.07 * of_week * number
        positives = expected * level(day) * math.exp(rng.gauss(0, 0.04))
        positives = round(rng.gauss(positives, math.sqrt(2 * positives)))
        predicted = expected * level(day if is_foreseen else max(day - 1, 0))
        found.append(span(day + 1, rows=number, positives=positives, predicted=predicted))
    return found


def stopped(days: list[SpanEvidence], settings: Drift) -> dict[int, list[Finding]]:
    """Returns the findings that stop days, by the day's place; a stopped day is no reference for later ones."""
    earlier: list[SpanEvidence] = []
    found = {}
    for place, measured in enumerate(days):
        day = dataclasses.replace(measured, label_anchor=label_anchor(measured, earlier, settings))
        if stops := [f for f in decide(day, earlier, settings) if f.severity == "stop"]:
            found[place] = stops
        if not stops:
            earlier.append(day)
    return found


@pytest.mark.parametrize(("rate", "at_latest"), [(0.02, 28), (0.03, 21), (0.05, 14), (0.07, 11)])
def test_labels_that_go_a_little_each_day_are_stopped_before_half_is_gone(rate: float, at_latest: int) -> None:
    """The median of 7 days is that of 3 days ago: (1 - rate)^(n - 3) is below 0.65 on day 25, 18, 12 and 9.

    Noise, and an anchor that has risen by it, move that by a few days.
    """
    kept = [(1 - rate) ** max(day - NUM_GOOD + 1, 0) for day in range(NUM_GOOD + 40)]
    found = stopped(simulated(len(kept), lambda day: kept[day]), Drift())
    first = min(found)
    assert NUM_GOOD + 3 < first <= NUM_GOOD + at_latest
    assert kept[first] > 0.49
    ((rule, subject),) = [(f.rule, f.subject) for f in found[first]]
    # At 7 % a day, the day alone is below 0.6 times the median of 14 days, too.
    assert subject == "label"
    assert rule == "drift.max_label_loss" or (rate, rule) == (0.07, "drift.min_label_ratio")
    assert set(found) >= set(range(NUM_GOOD + 30, NUM_GOOD + 40))  # it goes on until a person lets a day through


GOOD = {
    "a weekday's share": simulated(80),
    "a season of the year": simulated(380, lambda day: 1 + 0.1 * math.sin(2 * math.pi * day / 365)),
    "a week of holidays": simulated(80, lambda day: 0.75 if 40 <= day < 47 else 1.0, is_foreseen=True),
    "a sale of a week": simulated(80, lambda day: 1.6 if 40 <= day < 47 else 1.0),
    "a sale of two weeks": simulated(80, lambda day: 1.35 if 40 <= day < 54 else 1.0, is_foreseen=True),
    "traffic times 3, at once": simulated(80, traffic=lambda day: 3.0 if day >= 40 else 1.0),
    "traffic times 3, in 60 days": simulated(80, traffic=lambda day: float(3 ** min(day / 60, 1))),
    "a quarter of the traffic": simulated(80, traffic=lambda day: 0.25 if day >= 40 else 1.0),
    "a small store": simulated(80, rows=600),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_store_is_not_stopped(kind: str) -> None:
    assert stopped(GOOD[kind], Drift()) == {}


def exact(*shares: float) -> list[SpanEvidence]:
    return [span(n, rows=100_000, positives=round(share * 100_000)) for n, share in enumerate(shares, 1)]


def anchors(shares: list[float]) -> list[float | None]:
    """Returns the anchors of days, all of which are let through."""
    earlier: list[SpanEvidence] = []
    for day in exact(*shares):
        earlier.append(dataclasses.replace(day, label_anchor=label_anchor(day, earlier, Drift())))
    return [day.label_anchor for day in earlier]


def test_the_anchor_begins_with_seven_days_and_follows_a_rise_that_lasts() -> None:
    assert anchors([0.06, 0.07, 0.08, 0.07, 0.06, 0.08, 0.07, 0.07]) == [*[None] * 7, 0.07]
    # A week of 0.09: the median of the last 7 days is 0.09 from the fourth on, the lower one of 14 days stays 0.07.
    week = [*[0.07] * 14, *[0.09] * 7, *[0.07] * 8]
    assert set(anchors(week)[7:]) == {0.07}
    # After 8 days of 0.09, the median of the 14 days before is 0.09, too.
    lasting = anchors([*[0.07] * 14, *[0.09] * 10])
    assert lasting[20:] == [0.07, 0.07, 0.09, 0.09]


def test_the_anchor_falls_where_a_person_has_let_the_loss_through() -> None:
    """On the third day of 0.04 the median of 7 days is 0.07; on the fourth it is 0.04, 0.57 times the anchor."""
    shares = [*[0.07] * 14, *[0.04] * 5]
    assert anchors(shares)[14:] == [0.07, 0.07, 0.07, 0.07, 0.04]
    earlier = [dataclasses.replace(day, label_anchor=0.07) for day in exact(*shares[:-2])]
    day = dataclasses.replace(span(18, rows=100_000, positives=4000, predicted=4000), label_anchor=0.07)
    level = next(f for f in decide(day, earlier, Drift(min_label_ratio=0)) if f.rule == "drift.max_label_loss")
    assert (level.severity, level.bound) == ("stop", 0.65)
    assert level.value == pytest.approx(4 / 7, abs=1e-6)
    assert level.sentence == (
        "the share of label 1 may be below its anchor by at most 35% (drift.max_label_loss). Received: 0.0400, and "
        "0.0400 as the median of the last 7 spans, 0.57 times the anchor 0.0700: labels are lost a little each day. "
        "If they are not, let this span through: its level is the anchor from then on"
    )
    repaired = dataclasses.replace(day, ingested=span(18, rows=100_000, positives=7000).ingested)
    assert all(f.rule != "drift.max_label_loss" for f in decide(repaired, earlier, Drift()))


def test_labels_of_another_version_have_an_anchor_of_their_own() -> None:
    old = [dataclasses.replace(day, label_anchor=0.07) for day in exact(*[0.07] * 8)]
    new = [dataclasses.replace(day, label_version=2) for day in exact(*[0.02] * 8)]
    assert label_anchor(new[0], old, Drift()) is None
    assert label_anchor(new[7], [*old, *new[:6]], Drift()) is None
    assert label_anchor(new[7], [*old, *new[:7]], Drift()) == 0.02
