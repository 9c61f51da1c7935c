"""What `wdr init` guesses of real shapes: the features and the roles of columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.shapes import SHAPES, write_census, write_ratings
from pipeline.initial_config.column_names import split_words
from pipeline.initial_config.times import parts_of_times
from tests.pipeline.initial_config.guessing import NOTES, ROWS, guessed, kinds, log_of, of_csv
from transform.config.config_file import parse_config, parse_yaml
from transform.config.sources import DelimitedText, LabelRule
from transform.derived_times import Derive


def test_the_census_shape(tmp_path: Path) -> None:
    write_census(tmp_path, 1500, 1500)
    config, text = guessed(tmp_path / "adult.data")
    names = tuple(f"column_{number}" for number in range(1, 14))
    log = config.sources.impressions
    assert (log.format, log.text) == ("csv", DelimitedText(columns=names))
    assert (log.null_values, log.label) == (("", "?"), "column_13")
    assert log.label_rule == LabelRule(positive=(">50K",), negative=("<=50K",))
    assert config.ingestion.split_by == "row_hash"
    numbers = ["column_1", "column_3", "column_9", "column_10", "column_11"]
    assert [name for name, kind in kinds(config).items() if kind == "numeric"] == numbers
    assert len(config.spec.features) == 12
    assert '">50K" is the rarer value' in text

    config, _ = guessed(tmp_path / "adult.test")
    assert config.sources.impressions.text == DelimitedText(columns=names, skip_lines=1)
    assert config.sources.impressions.label_rule == LabelRule(positive=(">50K.",), negative=("<=50K.",))


def test_the_ratings_shape(tmp_path: Path) -> None:
    write_ratings(tmp_path, 3000)
    config, _ = guessed(tmp_path / "u.data", label="column_3")
    log = config.sources.impressions
    assert log.text == DelimitedText("|", columns=("column_1", "column_2", "column_3", "column_4"))
    assert log.label_rule == LabelRule(at_least=4)  # half of the ratings are 4 or 5


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_shape_with_a_header(tmp_path: Path, shape: Any) -> None:
    shape.write(tmp_path / "log.csv", 4000)
    config, _ = guessed(tmp_path / "log.csv")
    log = config.sources.impressions
    assert (log.text, log.label, config.ingestion.split_by) == (DelimitedText(), shape.label, "row_hash")
    columns = {f.source_column for f in config.spec.features}
    assert columns == {*shape.make(10)} - {shape.label, "position"}
    ids = {c for c in columns if c.endswith("_id")}
    assert {f.source_column for f in config.spec.features if f.kind == "numeric"} & ids == set()
    if shape.name == "ratings":
        assert (kinds(config)["genres"], config.user, log.item_id) == ("categorical_list", "user_id", "movie_id")


def test_a_log_with_requests_times_lists_and_latin_1(tmp_path: Path) -> None:
    config, text = of_csv(tmp_path, (NOTES + "\n".join(ROWS)).encode("latin-1"))
    log = config.sources.impressions
    assert log.text == DelimitedText(";", encoding="latin-1")
    assert (log.request_id, log.timestamp, log.label) == ("request id", "Time", "clicked")
    assert log.label_rule == LabelRule(positive=("J",), negative=("N",))
    assert config.ingestion.split_by == "request_hash"
    assert kinds(config) == {"amount": "numeric", "ort": "categorical", "tags": "categorical_list"}
    assert "is not UTF-8" in text


def test_neighbouring_columns_of_0_and_1_are_offered_as_one_list(tmp_path: Path) -> None:
    header = "film;liked;war;sci fi;drama;price;new;free\n"
    rows = [f"f{i % 30};{i % 2};{i % 3 // 2};0;{i % 4 // 3};{i % 17}.5;{i % 5 // 4};1" for i in range(120)]
    config, text = of_csv(tmp_path, (header + "\n".join(rows)).encode(), label="liked")
    (offered,) = (line.strip() for line in text.splitlines() if "one_hot" in line)  # two columns are no list
    raw = parse_yaml(text, "x.yaml")
    raw["features"] = [f for f in raw["features"] if f["name"] not in ("war", "drama")]
    raw["features"] += yaml.safe_load(offered.removeprefix("# "))
    with_list = parse_config(raw, "x.yaml").spec.features[-1]
    assert (with_list.name, with_list.one_hot, with_list.side) == ("list_1", ("war", "sci fi", "drama"), "context")
    assert config.spec.by_name["war"].kind == "categorical"


@pytest.mark.parametrize(
    ("names", "offered"),
    [
        (("genre_none", "genre_war", "genre_sci", "genre_new"), "item"),  # the first one is always 0
        (("genre_none", "war", "sci", "new"), "context"),
        (("war", "genre_sci", "new", "genre_old"), None),  # of both sides
        (("war", "sci|fi", "new", "old"), None),  # a list's text would be split there
        (("sci|fi", "war", "new", "old"), "context"),
    ],
)
def test_a_list_is_offered_with_the_side_of_its_columns(
    tmp_path: Path, names: tuple[str, ...], offered: str | None
) -> None:
    first = 1 if "none" in names[0] else 2
    rows = [f"u{i % 30};{i % first};{i % 3 // 2};{i % 4 // 3};{i % 5 // 4};{i % 2}" for i in range(120)]
    _, text = of_csv(tmp_path, "\n".join([f"user_id;{';'.join(names)};liked", *rows]).encode(), label="liked")
    found = [yaml.safe_load(line.strip().removeprefix("# "))[0] for line in text.splitlines() if "one_hot" in line]
    assert [feature["side"] for feature in found] == ([] if offered is None else [offered])
    assert not any("|" in name for feature in found for name in feature["one_hot"])


@pytest.mark.parametrize(
    ("name", "dates", "form", "parts"),
    [
        ("date", [f"Feb {1 + i % 28}, 20{10 + i % 9}" for i in range(120)], "%b %d, %Y", ("year", "month")),
        ("born", [f"{1 + i % 28}/{1 + i % 12}/{1950 + i % 40}" for i in range(120)], "%d/%m/%Y", ("year", "month")),
        (
            "released",
            [f"{13 + i % 15}.{1 + i % 12}.2019 {i % 24:02d}:30" for i in range(120)],
            "%d.%m.%Y %H:%M",
            ("hour", "weekday"),
        ),
    ],
)
def test_parts_of_dates_of_other_forms_are_features(
    tmp_path: Path, name: str, dates: list[str], form: str, parts: tuple[str, str]
) -> None:
    rows = [f'"{date}",{i * 7 % 40},{i % 2}' for i, date in enumerate(dates)]
    config, _ = of_csv(tmp_path, (f"{name},amount,clicked\n" + "\n".join(rows)).encode())
    derived = {f.name: f.derive for f in config.spec.features if f.derive is not None}
    expected = {f"{name}_{part}": Derive(part=part, format=form) for part in parts}  # type: ignore[arg-type]
    if name == "date":
        assert config.sources.impressions.timestamp_format == form
        del expected["date_month"]  # always February
    assert derived == expected


def test_parts_of_dates_and_times_are_features(tmp_path: Path) -> None:
    rows = [
        f"{('01-Jan-1995', '', '15-Mar-1996')[i % 3]};2026-11-{1 + i % 20:02d}T{i % 24:02d}:30Z;{i * 10**9};{i % 2}"
        for i in range(120)
    ]
    config, text = of_csv(tmp_path, ("released;time;sum;clicked\n" + "\n".join(rows)).encode())
    assert config.sources.impressions.timestamp == "time"
    derived = {f.name: (f.source_column, f.derive) for f in config.spec.features if f.derive is not None}
    assert derived == {
        "released_year": ("released", Derive(part="year", format="day_month_year")),
        "released_month": ("released", Derive(part="month", format="day_month_year")),
        "time_hour": ("time", Derive(part="hour", format="iso")),
        "time_weekday": ("time", Derive(part="weekday", format="iso")),
    }
    assert kinds(config).keys() - derived.keys() == {"sum"}
    assert '# each value is a date such as "01-Jan-1995"; 2 different years' in text
    assert '# left out: "released": dates or times, of which parts are features' in text
    assert "derive: {part: hour, format: iso, time_zone: UTC}" in text


@pytest.mark.parametrize(
    ("name", "values", "parts"),
    [
        ("time", ["1764333005", "1764336605.5"], {"hour": "epoch_seconds"}),
        ("sent_ts", ["1764333005000", "1764419405000"], {"weekday": "epoch_milliseconds"}),
        ("amount", ["1764333005", "1764336605"], {}),
        ("when", ["2026-11-28", "2026-12-28 10:00"], {"month": "iso"}),
        ("when", ["2026-11-28", "2026-02-30"], {}),
        ("when", ["2026-11-28 10:00", "2026-11-28 10:59"], {}),
        ("time", ["1764333005.1.2"], {}),
        ("time", [], {}),
    ],
)
def test_times_that_differ_in_a_part(name: str, values: list[str], parts: dict[str, str]) -> None:
    is_named = bool({*split_words(name)} & {"time", "ts"})
    found = parts_of_times(values, is_time=is_named, is_stored_time=False)
    assert {part: rule["derive"]["format"] for part, rule, _ in found} == parts  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "first", "step"),
    [("n", 0, 1), ("n", -3, 1), ("n", 120, -1), ("price", 0.0, 1), ("", 1, 1), ("Unnamed: 0", 0, 7), ("", 0, 7)],
)
def test_a_column_that_counts_the_rows_is_left_out(tmp_path: Path, name: str, first: float, step: int) -> None:
    numbers = [first + (i * step if abs(step) == 1 else i * step % 251) for i in range(200)]  # 251 is prime
    config, text = of_csv(tmp_path, log_of({"clicked": [0, 1] * 100, "x": [i % 50 for i in range(200)], name: numbers}))
    assert kinds(config) == {"place": "categorical", "x": "numeric"}
    reason = "whole numbers that change by 1 from row to row: they count the rows"
    index = "an index by its name; each row has another whole number"
    assert f'# left out: "{name or "unnamed_4"}": {reason if abs(step) == 1 else index}' in text


def test_whole_numbers_that_only_resemble_a_counter_are_features(tmp_path: Path) -> None:
    columns = {
        "gap": [i + (i > 100) for i in range(200)],
        "missing": ["" if i == 7 else i for i in range(200)],
        "half": [i + 0.5 for i in range(200)],
        "Unnamed: 9": [i % 150 for i in range(200)],
        "clicked": [0, 1] * 100,
    }
    config, _ = of_csv(tmp_path, log_of(columns))
    names = ["gap", "missing", "half", "unnamed_9"]
    assert kinds(config) == {"place": "categorical"} | dict.fromkeys(names, "numeric")
    config, _ = of_csv(tmp_path, log_of({"hour": list(range(24)), "clicked": [0, 1] * 12}))  # too few for a counter
    assert "hour" in kinds(config)


def test_ids_written_in_one_word_are_ids(tmp_path: Path) -> None:
    columns = {
        "sessionid": [i // 4 for i in range(200)],
        "userid": [i % 40 * 7 for i in range(200)],
        "ItemID": [i % 60 * 11 for i in range(200)],
        "uid": [i % 45 * 3 for i in range(200)],
        "paid": [i % 55 * 3 for i in range(200)],
        "clicked": [i // 3 % 2 for i in range(200)],
    }
    config, _ = of_csv(tmp_path, log_of(columns))
    log = config.sources.impressions
    assert (log.request_id, log.item_id, config.user) == ("sessionid", "ItemID", "userid")
    features = {f.name: (f.kind, f.side) for f in config.spec.features}
    assert features == {
        "place": ("categorical", "context"),
        "userid": ("categorical", "context"),
        "item_id": ("categorical", "item"),
        "uid": ("categorical", "context"),
        "paid": ("numeric", "context"),
    }
