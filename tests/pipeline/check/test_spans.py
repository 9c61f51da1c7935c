"""Findings of `wdr check` across sources and spans."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.ingestion.spans import resolve_span
from pipeline.check.spans import unmatched_joins, values_outside_windows
from tests.transform.small_config import small_config
from transform.errors import InputError

HEADER = "clicked,request,app,installed\n"
LOG = HEADER + "1,r,a,\n0,r,B,\n0,r,B,\n1,r, b,\n1,r,C,\n"


def joins(folder: Path, *, reject: bool, max_rejected: float = 0.01, max_rows: int = 100) -> list[str]:
    config = small_config(
        ("sources.impressions.path", "log.csv"),
        ("sources.tables.catalog.reject_unmatched", reject),
        ("ingestion.max_rejected_fraction", max_rejected),
    )
    (folder / "log.csv").write_text(LOG)
    (folder / "apps.csv").write_text("app,price\na,1\nb ,2\n")
    return unmatched_joins(config, resolve_span(config, str(folder)), max_rows)


def test_keys_that_a_table_lacks_are_counted(tmp_path: Path) -> None:
    (sentence,) = joins(tmp_path, reject=False)
    assert sentence == "3 of the first 5 impressions have a key that `catalog` does not have, most often 'B'"
    assert joins(tmp_path, reject=False, max_rows=1) == []
    assert joins(tmp_path, reject=True, max_rejected=0.6) == [sentence]
    with pytest.raises(InputError) as caught:
        joins(tmp_path, reject=True, max_rejected=0.59)
    assert str(caught.value) == (
        "at most 59.00% of `impressions` may be rejected (ingestion.max_rejected_fraction), as those are whose key is "
        f"in no row of `catalog`. Received: {sentence}"
    )


def windows(
    folder: Path, spans: dict[int, list[str]], window: int, max_rows: int = 10_000, derive: dict[str, str] | None = None
) -> list[str]:
    """Returns the findings on a feature with these values in each span; `app` has the same values in all spans."""
    config = small_config(
        ("sources.impressions.path", "log-{SPAN}.csv"),
        ("ingestion.window_spans", window),
        (
            "features",
            [
                {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}},
                {"name": "weekday", "side": "context", "kind": "categorical", "vocabulary": {}, "derive": derive},
            ],
        ),
        ("crosses", []),
    )
    (folder / "apps.csv").write_text("app\na\n")
    for span, values in spans.items():
        rows = "".join(f"0,r,a{i % 3},{value}\n" for i, value in enumerate(values))
        (folder / f"log-{span}.csv").write_text("clicked,request,app,weekday\n" + rows)
    return values_outside_windows(config, str(folder), resolve_span(config, str(folder)), max_rows)


def test_a_weekday_that_the_window_before_does_not_have(tmp_path: Path) -> None:
    spans = {1: ["mon"] * 4, 2: ["tue"] * 4, 3: ["wed"] * 4}
    assert windows(tmp_path, spans, window=2) == [
        "`weekday` has other values from span to span: 4 of 4 rows of span 3 have one that the 2 spans before it do "
        "not have (ingestion.window_spans)"
    ]


def test_a_window_of_a_week_has_every_weekday(tmp_path: Path) -> None:
    week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    assert windows(tmp_path, {i: [week[i % 7]] * 4 for i in range(9)}, window=7) == []


def test_of_a_derived_feature_the_parts_come_back_and_not_the_times(tmp_path: Path) -> None:
    days = {n: [f"2026-11-{n:02d}T{hour}:30" for hour in (10, 11)] for n in (2, 3, 4)}
    assert windows(tmp_path, days, window=2, derive={"part": "hour", "format": "iso"}) == []
    assert windows(tmp_path, days, window=2, derive={"part": "weekday", "format": "iso"}) == [
        "`weekday` has other values from span to span: 2 of 2 rows of span 4 have one that the 2 spans before it do "
        "not have (ingestion.window_spans)"
    ]


def test_values_that_mostly_come_back_are_no_mistake(tmp_path: Path) -> None:
    spans = {1: ["a", "b", "c", "d"], 2: ["a", "b", "x", "y"], 3: ["a", "b", "e", "f"]}
    assert windows(tmp_path, spans, window=1) == []
    assert windows(tmp_path, spans | {3: ["a", "e", "f", "g"]}, window=1) == [
        "`weekday` has other values from span to span: 3 of 4 rows of span 3 have one that the 1 spans before it do "
        "not have (ingestion.window_spans)"
    ]


def test_ids_have_new_values_in_each_span(tmp_path: Path) -> None:
    assert windows(tmp_path, {n: [f"id{n}_{i}" for i in range(60)] for n in (1, 2)}, window=1) == []


def test_one_span_alone_with_one_value(tmp_path: Path) -> None:
    assert windows(tmp_path, {5: ["mon"] * 4}, window=2) == [
        "`weekday` has one value in each span, such as 'mon' in span 5: if it changes from span to span, a window "
        "holds at most 2 of its values (ingestion.window_spans)"
    ]
    # The first rows do not show that all rows have the same value.
    assert windows(tmp_path, {5: ["mon"] * 4}, window=2, max_rows=4) == []
    assert windows(tmp_path, {5: ["mon", "tue"]}, window=2) == []
