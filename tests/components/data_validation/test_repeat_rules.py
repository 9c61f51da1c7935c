"""Rules on rows and files that a span repeats, and on rows of other days."""

from __future__ import annotations

import dataclasses

import pytest

from components.data_validation.decision import decide
from components.data_validation.evidence import SKETCH_ROWS, SpanEvidence
from components.data_validation.repeat_rules import repeated_share, shared_rows
from components.ingestion.evidence import File, Log, TableEvidence
from tests.components.data_validation.hand_written import DAY, good, sketch_of, span, stops
from transform.config.drift import Drift


def test_yesterday_shipped_again_is_known_by_its_files_its_rows_or_its_times() -> None:
    yesterday = span(8)
    same_file = span(9, files=yesterday.ingested.files)
    assert stops(same_file, good(8)) == ["drift.reference_spans"]
    assert "day-8.csv has the contents of a file of span 8" in decide(same_file, good(8), Drift())[0].sentence
    same_time = span(9, logs={"impressions": Log(sketch_of(9), yesterday.log.time_quantiles)})
    (stop,) = [f for f in decide(same_time, good(8), Drift()) if f.severity == "stop"]
    assert stop.sentence == "a span's timestamps must be its own. Received: 100% of its time is that of span 8"

    def sketched(number: int, sketch_of: int) -> SpanEvidence:
        """Returns a day with its own hashes: 1, 11, 21, … on the first."""
        return span(number, logs={"impressions": Log(sketch=tuple(range(sketch_of, 20_000, 10)))})

    days = [sketched(n, n) for n in range(1, 9)]
    assert stops(sketched(9, 9), days) == []
    (stop,) = [f for f in decide(sketched(9, 8), days, Drift()) if f.severity == "stop"]
    assert stop.sentence == (
        "at most 50% of a span's rows may be those of an earlier span, their ids and times aside "
        "(drift.max_repeated_rows). Received: 100% are those of span 8"
    )


def test_an_empty_file_each_day_and_a_table_that_does_not_change_are_no_repetition() -> None:
    files = (File("installs", "part-1.csv", "sum of a header", 0), File("catalog", "catalog.csv", "sum", 10))
    days = [dataclasses.replace(e, ingested=dataclasses.replace(e.ingested, files=files)) for e in good(8)]
    assert stops(span(9, files=files), days) == []


def test_too_few_rows_to_compare_are_said() -> None:
    few = span(9, logs={"impressions": Log(sketch=tuple(range(49)))})
    assert [f.sentence for f in decide(few, good(8), Drift())] == [
        "whether rows of an earlier span are repeated cannot be judged: it takes 50 distinct rows, ids and times aside"
        ". Received: 49, and at most 60 of an earlier span"
    ]


def test_rows_are_shared_as_far_as_both_sketches_reach() -> None:
    """Of the hashes up to 199, the first sketch has 0 to 199, and the second has 100 to 199."""
    assert shared_rows(range(200), range(100, 400)) == 0.5
    assert shared_rows(range(10), range(200)) is None


def dated(hours: dict[int, int], *, is_date: bool = True) -> list[str]:
    """Returns the stops by the times of span 9, a date; `hours` are counted from its midnight in UTC."""
    quantiles = tuple(DAY * (9 + q) for q in (0.01, 0.5, 0.99))
    log = Log(sketch_of(9), quantiles, rows_by_hour={9 * 24 + hour: rows for hour, rows in hours.items()})
    found = decide(span(9, logs={"impressions": log}, is_date=is_date), good(8), Drift())
    return [f.sentence for f in found if f.subject == "timestamp" and f.severity == "stop"]


def test_the_rows_of_a_date_are_of_that_day_in_some_time_zone() -> None:
    day = dict.fromkeys(range(24), 100)
    assert dated(day) == []
    assert dated({hour - 14: rows for hour, rows in day.items()}) == []
    assert dated({hour + 12: rows for hour, rows in day.items()}) == []
    assert dated(day | {-20: 200}) == []  # 200 of 2,600 rows are late
    # 10 of the 24 hours of yesterday's rows are before the date began in any time zone.
    yesterday = {hour - 24: rows for hour, rows in day.items()}
    assert dated(yesterday) == [
        "at most 10% of the rows of a date may be of other days. Received: 42% of those of span 9 are, whatever the "
        "time zone"
    ]
    assert dated(yesterday, is_date=False) == []


def with_rows(number: int, rows: int, distinct: int) -> SpanEvidence:
    """Returns a span of rows with the smallest 500 hashes of distinct ones, which are spread evenly over 53 bits."""
    step = 2**53 // distinct
    sketch = tuple(step * (n + 1) - number for n in range(SKETCH_ROWS))
    files = (File("impressions", f"day-{number}.csv", f"sum {number}", rows),)
    return span(number, rows=rows, files=files, logs={"impressions": Log(sketch)})


def test_requests_that_are_logged_again_under_new_ids_are_found_in_the_sketch() -> None:
    """Half of the requests again: of 15,000 rows, 10,000 are distinct, and a third is there twice."""
    assert repeated_share(with_rows(9, 15_000, 10_000)) == pytest.approx(1 / 3, abs=0.002)
    days = [with_rows(n, 10_000, 9900) for n in range(1, 9)]
    assert decide(with_rows(9, 10_000, 9500), days, Drift()) == []
    (found,) = [f for f in decide(with_rows(9, 15_000, 10_000), days, Drift()) if f.subject == "rows of one span"]
    assert found.severity == "stop"
    assert found.sentence == (
        "about 33% of the span's rows are others of its rows again, their ids aside, usually 1% "
        "(allowed: 20%; drift.max_repeated_rows): with new ids, one of them may train the model and another judge it"
    )
    # Where a third is usual, as in a log with few features and without times, it is no error.
    assert decide(with_rows(9, 15_000, 10_000), [with_rows(n, 15_000, 10_000) for n in range(1, 9)], Drift()) == []


def test_rows_that_a_sketch_has_all_of_are_counted() -> None:
    few = span(1, rows=120, files=(File("impressions", "a.csv", "a", 120),), logs={"impressions": Log(sketch_of(1))})
    assert repeated_share(few) == 0.5  # 60 distinct ones of 120


def with_catalog(number: int, contents: int) -> SpanEvidence:
    day = span(number)
    catalog = File("catalog", "catalog.csv", f"catalog {contents}", 10)
    ingested = dataclasses.replace(
        day.ingested, files=(*day.ingested.files, catalog), tables={"catalog": TableEvidence(100, 0)}
    )
    return dataclasses.replace(day, ingested=ingested)


def test_a_table_that_was_written_anew_each_day_and_is_yesterdays_warns() -> None:
    days = [with_catalog(n, n) for n in range(1, 9)]
    assert decide(with_catalog(9, 9), days, Drift()) == []
    (found,) = decide(with_catalog(9, 8), days, Drift())
    assert (found.severity, found.subject) == ("warn", "files of catalog")
    assert found.sentence == (
        "`catalog` has the contents that it had in span 8, where each of the 8 spans before it had its own: it may not "
        "have been written anew"
    )
    assert decide(with_catalog(9, 8), [with_catalog(n, n // 2) for n in range(1, 9)], Drift()) == []  # every other day
    assert all(f.subject != "files of catalog" for f in decide(with_catalog(3, 2), days[:2], Drift()))
