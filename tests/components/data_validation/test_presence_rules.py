"""The share of examples that have a value of a feature, span after span, on hand-written evidence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from components.data_validation.decision import decide
from components.data_validation.distributions import Distribution, divergence, measure_numbers, measure_tokens
from components.data_validation.evidence import Labelled, SpanEvidence
from components.ingestion.evidence import TableEvidence
from tests.components.data_validation.hand_written import span
from transform.config.drift import Drift

ROWS = 30_000


def a_list(share: float) -> Distribution:
    """Returns a list of ten apps in each example that has it."""
    rows = round(share * ROWS)
    return measure_tokens({f"app{n}": rows for n in range(10)}, ROWS - rows, ROWS // 10)


def a_text(share: float) -> Distribution:
    rows = round(share * ROWS)
    return measure_tokens({"home": rows // 2, "search": rows - rows // 2}, ROWS - rows, ROWS)


def a_number(share: float) -> Distribution:
    return measure_numbers(np.where(np.arange(ROWS) < share * ROWS, np.arange(ROWS) % 7, np.nan), ROWS)


Kind = Callable[[float], Distribution]
KINDS = pytest.mark.parametrize("kind", [a_list, a_text, a_number])


def day(number: int, feature: Distribution) -> SpanEvidence:
    return span(number, rows=ROWS, positives=2100, features={"feature": feature}, sample=Labelled(ROWS, 2100))


def days(kind: Kind, *shares: float) -> list[SpanEvidence]:
    return [day(number, kind(share)) for number, share in enumerate(shares, 1)]


def found(current: SpanEvidence, earlier: list[SpanEvidence], settings: Drift | None = None) -> list[str]:
    return [f"{f.severity} {f.rule}" for f in decide(current, earlier, settings or Drift()) if f.subject == "feature"]


STOP = ["stop drift.max_presence_change"]


def test_a_list_lost_of_most_examples_stops_though_its_values_are_as_before() -> None:
    """Missing lists are 0.61 of 0.61 + 3.9 values: a small change of the values, and a large one of the examples."""
    earlier = days(a_list, *[1.0] * 8)
    current = day(9, a_list(0.39))
    assert divergence(current.features["feature"], earlier[0].features["feature"]) == pytest.approx(0, abs=1e-9)
    (stop,) = decide(current, earlier, Drift())
    assert (stop.rule, stop.subject, stop.value) == ("drift.max_presence_change", "feature", 0.39)
    # Both are 0.695 together, and 20 examples have one key: three standard errors are a little more than 0.05.
    assert stop.bound == pytest.approx(1 - 3 * math.sqrt(0.695 * 0.305 * 20 * 2 / ROWS), abs=1e-6)
    assert stop.sentence == (
        "the share of examples that have a value of feature may be at most 5.0 percentage points from that of an "
        "earlier span (drift.max_presence_change: 0.05). Received: 39.0%, where the nearest of the 8 spans before it, "
        "span 1, has 100.0%"
    )


@KINDS
def test_eight_of_100_examples_that_lose_a_value_or_get_one_stop_once(kind: Kind) -> None:
    assert found(day(9, kind(0.92)), days(kind, *[1.0] * 8)) == STOP
    assert found(day(9, kind(1.0)), days(kind, *[0.92] * 8)) == STOP
    assert found(day(9, kind(0.96)), days(kind, *[1.0] * 8)) == []
    assert found(day(9, kind(0.92)), days(kind, *[1.0] * 8), Drift(max_presence_change=0.1)) == []
    assert found(day(9, kind(0.92)), days(kind, *[1.0] * 8), Drift(action="warn")) == ["warn drift.max_presence_change"]


@KINDS
def test_what_few_examples_have_may_lose_half(kind: Kind) -> None:
    assert found(day(9, kind(0.0)), days(kind, *[0.03] * 8)) == STOP
    assert found(day(9, kind(0.016)), days(kind, *[0.03] * 8)) == []


def test_an_id_and_a_part_of_a_date_are_no_exceptions() -> None:
    lost = dataclasses.replace(day(9, a_text(0.8)), ids=("feature",), of_calendar=("feature",))
    assert found(lost, days(a_text, *[1.0] * 8)) == STOP


def test_a_change_is_judged_by_the_nearest_span_and_by_what_is_usual() -> None:
    week = [1.0, 1.0, 0.6, 0.6, 1.0, 1.0, 1.0, 1.0]  # on two days fewer examples have it
    assert found(day(9, a_list(0.62)), days(a_list, *week)) == []
    assert found(day(9, a_list(0.8)), days(a_list, *week)) == STOP
    # Differences of 0.04 are usual: three times as much is allowed.
    usual = [0.5, 0.54, 0.58, 0.62, 0.66, 0.7, 0.74, 0.78]
    assert found(day(9, a_list(0.88)), days(a_list, *usual)) == []
    assert found(day(9, a_list(0.92)), days(a_list, *usual)) == STOP


def test_a_span_that_was_let_through_is_a_reference_and_widens_no_bound() -> None:
    accepted = days(a_list, *[1.0] * 8, 0.39)
    assert found(day(10, a_list(0.39)), accepted) == []
    assert found(day(10, a_list(1.0)), accepted) == []
    assert found(day(10, a_list(0.7)), accepted) == STOP


def test_with_few_spans_the_bound_is_twice_as_wide() -> None:
    assert found(day(3, a_list(0.92)), days(a_list, 1.0, 1.0)) == []
    assert found(day(3, a_list(0.88)), days(a_list, 1.0, 1.0)) == STOP
    assert found(day(1, a_list(0.88)), []) == []  # the rule on distributions says that there is no earlier span


def test_a_change_within_chance_passes() -> None:
    """20 examples have one key: of 400 examples, 0.9 and 0.8 are shares of 20 keys each.

    Both are 0.85 together: three standard errors are 3 · √(0.85 · 0.15 · 2 / 20) = 0.339.
    """

    def small(number: int, present: int) -> SpanEvidence:
        features = {"feature": measure_tokens({"a": present}, 400 - present, 400)}
        return span(number, rows=400, positives=28, features=features, sample=Labelled(400, 28))

    earlier = [small(number, 360) for number in range(1, 9)]
    assert found(small(9, 320), earlier) == []
    # 0.9 and 0.4 are 0.65 together: 3 · √(0.65 · 0.35 · 2 / 20) = 0.452.
    assert found(small(9, 160), earlier) == STOP


def test_values_that_go_with_a_tables_keys_are_a_finding_of_the_table() -> None:
    def joined(number: int, unmatched: float, share: float) -> SpanEvidence:
        table = TableEvidence(round(ROWS * (1 - unmatched)), round(ROWS * unmatched), ("feature",))
        current = day(number, a_list(share))
        return dataclasses.replace(current, ingested=dataclasses.replace(current.ingested, tables={"users": table}))

    earlier = [joined(number, 0.0, 1.0) for number in range(1, 9)]
    lost = decide(joined(9, 0.8, 0.2), earlier, Drift())
    assert [(f.rule, f.subject) for f in lost if f.severity == "stop"] == [("drift.max_unmatched_increase", "users")]
    # Half of the 0.8 that the table has.
    (stop,) = [f for f in decide(joined(9, 0.2, 0.4), earlier, Drift()) if f.subject == "feature"]
    assert stop.sentence.startswith("the share of examples whose key `users` has that have a value of feature ")
    assert (stop.value, stop.rows) == (0.5, ROWS * 0.8)


def test_the_record_of_an_earlier_release_is_a_reference() -> None:
    """It has not the number of its examples, which is that of each feature but a list."""
    earlier = [
        dataclasses.replace(e, features={**e.features, "page": a_text(1.0)}, sample=None)
        for e in days(a_list, *[0.9] * 8)
    ]
    assert found(day(9, a_list(0.9)), earlier) == []
    assert found(day(9, a_list(0.39)), earlier) == STOP
