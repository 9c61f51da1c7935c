"""Rules on the distributions of features and on the hours of the day."""

from __future__ import annotations

import dataclasses

import pytest

from components.data_validation.decision import decide
from components.data_validation.distributions import measure_tokens
from components.data_validation.evidence import SpanEvidence
from components.gate_records import Finding
from components.ingestion.evidence import LabelCount
from tests.components.data_validation.hand_written import span, stops
from transform.config.drift import Drift


def test_a_small_change_of_a_mix_passes_and_a_turned_one_stops_or_warns() -> None:
    def mix(number: int, de: int) -> SpanEvidence:
        return span(number, features={"country": measure_tokens({"de": de, "fr": 100 - de}, 0, 1000)})

    days = [mix(n, 80) for n in range(1, 9)]
    assert stops(mix(9, 70), days) == []
    turned = [f for f in decide(mix(9, 20), days, Drift()) if f.severity == "stop"]
    # The divergence is 0.278; of it, 1 / (8 ln 2) · (1/1000 + 1/1000) · 2 = 0.0007 is due to chance.
    assert [f.sentence for f in turned] == [
        "the distribution of country must be within a divergence of 0.0500 of that of an earlier span "
        "(drift.divergence_floor). Received: 0.2774 from the nearest, span 1 (de 20.0% after 80.0%)"
    ]
    assert not stops(mix(9, 20), days, action="warn")
    assert not stops(mix(9, 20), days, max_divergence={"country": 0.3})
    assert not stops(dataclasses.replace(mix(9, 20), ids=("country",)), days)
    # It passes if one earlier day is alike, such as a Sunday among working days.
    assert not stops(mix(9, 20), [*days, mix(0, 25)])


def test_a_weekday_only_warns_and_a_value_that_all_rows_share_of_a_sudden_stops() -> None:
    def weekday(number: int, *days: str) -> SpanEvidence:
        return span(number, features={"weekday": measure_tokens(dict.fromkeys(days, 100), 0, 100)})

    (found,) = [f for f in decide(weekday(2, "tuesday"), [weekday(1, "monday")], Drift()) if f.subject == "weekday"]
    assert found.severity == "warn"
    assert found.sentence.endswith("; it is constant within a span, which only warns")
    different = [weekday(n, f"day {n}") for n in range(1, 9)]
    (usual,) = decide(weekday(9, "day 9"), different, Drift())
    assert (usual.severity, usual.rule, usual.subject) == ("cannot_judge", "drift.divergence_floor", "weekday")
    days = [weekday(n, "a", "b") for n in range(1, 9)]
    assert stops(weekday(9, "a"), days) == ["drift.divergence_floor"]


def test_a_bound_that_no_divergence_can_exceed_judges_nothing() -> None:
    """All values are others each day: a divergence of 1, less 2 · (2 - 1) / (8 ln 2) · (1/100 + 1/100) = .0072."""

    def page(number: int, name: str) -> SpanEvidence:
        return span(number, features={"page": measure_tokens({name: 100}, 0, 100)})

    days = [page(1, "a"), page(2, "b")]
    found = {f.subject: f for f in decide(page(3, "c"), days, Drift())}
    assert found["page"].severity == "cannot_judge"
    assert found["page"].rule == "drift.divergence_floor"
    assert found["page"].sentence == (
        "the distribution of page cannot be judged: no divergence is above 1, and the bound would be 2.9784, 3 times "
        "what the reference spans differ by (drift.divergence_floor). Received: 0.9928 from the nearest, span 1"
    )
    own = decide(page(3, "c"), days, Drift(max_divergence={"page": 0.5}))
    assert [f.severity for f in own if f.subject == "page"] == ["stop"]
    assert [f for f in decide(page(3, "b"), days, Drift()) if f.subject == "page"] == []  # within the floor


def test_a_part_of_a_date_that_the_calendar_changes_only_warns() -> None:
    """The last span of November in UTC has an hour of December in Berlin."""

    def months(number: int, **rows: int) -> SpanEvidence:
        return span(number, features={"month": measure_tokens(rows, 0, 1000)}, of_calendar=("month",))

    days = [months(n, **{"11": 100}) for n in range(1, 9)]
    first = months(9, **{"11": 70, "12": 30})
    (found,) = decide(first, days, Drift())
    assert found.severity == "warn"
    assert found.sentence.endswith("; it changes by the calendar, which only warns")
    assert stops(dataclasses.replace(first, of_calendar=()), days) == ["drift.divergence_floor"]
    assert stops(first, days, max_divergence={"month": 0.1}) == ["drift.max_divergence"]


#: The rows by hour of a day of 30,000 rows, UTC: few at night, most in the evening.
HOURS = [500, 400, 300, 300, 300, 400, 600, 900, 1200, 1400, 1500, 1500, 1600, 1600, 1500, 1500, 1600, 1700, 1900, 2100,
         2300, 2200, 1700, 1000]  # fmt: skip


def with_hours(number: int, rows: list[int]) -> SpanEvidence:
    day = span(number, rows=30_000, positives=2100 + 15 * (number % 3))
    of_hours = {number * 24 + hour: LabelCount(n - n // 14, n // 14) for hour, n in enumerate(rows) if n}
    return dataclasses.replace(day, ingested=dataclasses.replace(day.ingested, labels_by_hour=of_hours))


def of_hours(rows: list[int], num_before: int = 8) -> list[Finding]:
    """Returns the findings of the ninth day's hours; each day before has a few rows more or fewer in each hour."""
    before = range(9 - num_before, 9)
    days = [with_hours(n, [r + 7 * (n * hour % 11 - 5) for hour, r in enumerate(HOURS)]) for n in before]
    return [f for f in decide(with_hours(9, rows), days, Drift()) if f.subject == "hour of timestamp"]


def test_hours_without_an_example_warn() -> None:
    (found,) = of_hours([0, 0, 0, 0, 0, 0, *HOURS[6:]])
    assert found.severity == "warn"
    assert found.sentence.startswith(
        "no example is of the hours 00, 01, 02, 03, 04, 05 (UTC), of which each of the 8 spans before it has at least "
    )
    assert of_hours([500, 400, 0, *HOURS[3:]]) == []  # 1 % of the rows, of 15 independent ones
    assert of_hours(HOURS) == []


@pytest.mark.parametrize(("moved", "to"), [([*HOURS[1:], HOURS[0]], "later"), ([HOURS[-1], *HOURS[:-1]], "earlier")])
def test_hours_of_a_clock_that_is_an_hour_off_warn(moved: list[int], to: str) -> None:
    (found,) = of_hours(moved)
    assert found.severity == "warn"
    assert found.sentence.startswith(
        f"an hour {to}, the examples' times would fit those of an earlier span better, by "
    )
    assert of_hours(moved, num_before=2) != []
    assert of_hours(moved, num_before=1) == []  # by how much two days differ is not known


def test_more_rows_at_night_are_no_clock_that_is_off() -> None:
    assert of_hours([round(1.3 * n) for n in HOURS[:6]] + HOURS[6:]) == []
    assert of_hours([3 * n for n in HOURS]) == []
