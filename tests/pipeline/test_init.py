"""`wdr init`: what it guesses of real shapes, and that it writes a config that `wdr check` accepts, or says why not."""

from __future__ import annotations

import csv
import datetime
import decimal
import gzip
import io
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from benchmarks.shapes import SHAPES, write_census, write_ratings
from components.ingestion.spans import resolve_span
from pipeline.check.rows import check_rows
from pipeline.cli.main import cli
from pipeline.initial_config.config_text import initial_config, shell_word, yaml_value
from pipeline.initial_config.features import split_words
from pipeline.initial_config.label import Label, read_labels
from pipeline.initial_config.sample import Column, Sample, read_sample
from pipeline.initial_config.times import parts_of_times
from tests.pipeline.initial_configs import guessed
from transform.config.config import Config
from transform.config.config_file import load_config, parse_config, parse_yaml
from transform.config.sources import DelimitedText, LabelRule
from transform.derived_times import Derive
from transform.errors import InputError


def of_csv(folder: Path, content: bytes, name: str = "log.csv", label: str | None = None) -> tuple[Config, str]:
    (folder / name).write_bytes(content)
    return guessed(folder / name, label)


def log_of(columns: Mapping[str, Any], delimiter: str = ",") -> bytes:
    """Returns a CSV file of a column `place` and some others."""
    places = [f"p{i % 5}" for i in range(len(next(iter(columns.values()))))]
    rows = zip(places, *columns.values(), strict=True)
    return "".join(delimiter.join(map(str, row)) + "\n" for row in [("place", *columns), *rows]).encode()


def kinds(config: Config) -> dict[str, str]:
    return {f.name: f.kind for f in config.spec.features}


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
    assert columns == {*shape.make(10)} - {shape.label}
    ids = {c for c in columns if c.endswith("_id")}
    assert {f.source_column for f in config.spec.features if f.kind == "numeric"} & ids == set()
    if shape.name == "ratings":
        assert (kinds(config)["genres"], config.user, log.item_id) == ("categorical_list", "user_id", "movie_id")


ROWS = [
    f"r{i // 3};{1_700_000_000 + i};{i % 7};{'JN'[i % 2]};caf\xe9 {i % 4};x{i % 7}|y{i % 5}|z{i % 3}" for i in range(90)
]
NOTES = "request id;Time;amount;clicked;Ort;Tags\n"


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


def test_a_compressed_file_gives_the_same(tmp_path: Path) -> None:
    content = (NOTES + "\n".join(ROWS)).encode("latin-1")
    _, plain = of_csv(tmp_path, content)
    _, compressed = of_csv(tmp_path, gzip.compress(content), "log.csv.gz")
    assert compressed.replace("log.csv.gz", "log.csv") == plain


def test_a_parquet_file(tmp_path: Path) -> None:
    n = 120
    table = {
        "userId": pa.array([f"u{i % 9}" for i in range(n)]),
        "tags": pa.array([["a", f"t{i % 3}"] for i in range(n)]),
        "price": pa.array([i / 7 for i in range(n)]),
        "when": pa.array([i * 10**9 for i in range(n)], pa.timestamp("ns")),
        "raw": pa.array([{"x": i * i} for i in range(n)]),
        "note": pa.array([f"note {i}" for i in range(n)]),
        "bought": pa.array([i % 3 == 0 for i in range(n)]),
    }
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    config, text = guessed(tmp_path / "log.parquet")
    log = config.sources.impressions
    assert (log.format, log.label, log.label_rule, log.timestamp) == ("parquet", "bought", None, "when")
    assert kinds(config) == {
        "user_id": "categorical",
        "tags": "categorical_list",
        "price": "numeric",
        "raw_x": "numeric",
    }
    assert '# left out: "note": 120 of 120 values differ' in text


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
    found = parts_of_times(values, is_named_time=is_named, is_stored_time=False)
    assert {part: rule["derive"]["format"] for part, rule, _ in found} == parts  # type: ignore[index]


N = 120
EPOCH = 1_700_000_000


def of_column(folder: Path, name: str, values: pa.Array) -> Config:
    """Returns the config of a Parquet file with this column between a text and a label; rejects no row."""
    table = {"place": [f"p{i % 5}" for i in range(N)], name: values, "bought": [i % 3 == 0 for i in range(N)]}
    pq.write_table(pa.table(table), folder / "log.parquet")
    config, _ = guessed(folder / "log.parquet")
    report = check_rows(config, resolve_span(config, str(folder)), N)[0]
    assert (report.num_rows, report.rejected) == (N, {})
    return config


def every(number: int, values: Sequence[Any]) -> list[Any]:
    """Returns `N` values in turn, each `number`-th one missing."""
    return [None if i % number == 0 else values[i % len(values)] for i in range(N)]


DAYS = [datetime.date(2026, 1, 1 + i) for i in range(3)]
BIRTHDAYS = [datetime.date(1950 + i, 1, 1) for i in range(30)]
TIMES = [EPOCH * 10**6 + i for i in range(3)]
WHOLE = [decimal.Decimal(i) for i in range(4)]


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("x", pa.array([[0.5 * i, 1.0] for i in range(N)]), None),
        ("x", pa.array([[i % 3, 7] for i in range(N)], pa.list_(pa.int16())), "categorical_list"),
        ("x", pa.array([[DAYS[i % 3]] for i in range(N)]), None),
        ("x", pa.array([[True, False]] * N), None),
        ("x", pa.array([["a"] if i % 2 else None for i in range(N)], pa.large_list(pa.string())), "categorical_list"),
        ("x", pa.array(every(7, DAYS)), None),
        ("x", pa.array(every(7, TIMES), pa.timestamp("us", "Europe/Berlin")), None),
        ("x", pa.array([BIRTHDAYS[i % 30] for i in range(N)]), "categorical"),  # the year; the month is always 1
        ("x", pa.array([i * 10**9 + 1 for i in range(N)], pa.timestamp("ns")), "timestamp"),
        ("x", pa.array([DAYS[i % 3] for i in range(N)], pa.date64()), "timestamp"),
        ("x", pa.array([3_000_000 if i == 5 else i for i in range(N)], pa.int32()).cast(pa.date32()), None),
        ("x", pa.array([2**62 if i == 5 else i for i in range(N)], pa.timestamp("us")), None),
        ("x", pa.array([math.inf if i == 5 else i / 7 for i in range(N)]), None),
        ("x", pa.array(["1e39" if i == 5 else f"{i / 7}" for i in range(N)]), None),
        ("x", pa.array([WHOLE[i % 4] for i in range(N)], pa.decimal128(5, 0)), "numeric"),
        ("request_id", pa.array([float(i // 4) for i in range(N)]), "numeric"),
        ("request_id", pa.array([i // 4 for i in range(N)]), "request_id"),
        ("id", pa.array([float(i * i) for i in range(N)]), "numeric"),
        ("id", pa.array(list(range(N)), pa.uint32()), "impression_id"),
        ("x", pa.array([f"v{i % 4}" for i in range(N)]).dictionary_encode(), "categorical"),
        ("x", pa.array([i % 4 for i in range(N)], pa.int8()).dictionary_encode(), "categorical"),
        ("x", pa.nulls(N), None),
        ("x", pa.array([b"ab", b"c"] * (N // 2)), None),
    ],
)
def test_ingestion_reads_each_type_of_a_parquet_file_as_guessed(
    tmp_path: Path, name: str, values: pa.Array, kind: str | None
) -> None:
    config = of_column(tmp_path, name, values)
    log = config.sources.impressions
    roles = [key for key in ("timestamp", "request_id", "impression_id") if getattr(log, key) == name]
    found = [*roles, *(f.kind for f in config.spec.features if f.source_column == name)]
    assert found == ([] if kind is None else [kind])


@pytest.mark.parametrize(
    ("values", "at_least"), [((-1.0, 1.0, 1.0), 1), ((1.0, 2.0, 1.0), 2), ((-1, 1, 1), 1), ((0.5, 0.25, 0.25), 0.5)]
)
def test_of_two_numbers_the_larger_one_is_the_positive_label(
    tmp_path: Path, values: Sequence[float], at_least: float
) -> None:
    labels = [values[i % 3] for i in range(N)]
    pq.write_table(pa.table({"a": [f"a{i % 4}" for i in range(N)], "target": labels}), tmp_path / "log.parquet")
    config, _ = guessed(tmp_path / "log.parquet")
    assert config.sources.impressions.label_rule == LabelRule(at_least=at_least)
    config, _ = of_csv(tmp_path, b"a,target\n" + b"".join(b"a%d,%g\n" % (i % 4, y) for i, y in enumerate(labels)))
    assert config.sources.impressions.label_rule == LabelRule(at_least=at_least)


@pytest.mark.parametrize(
    ("name", "first", "step"),
    [("n", 0, 1), ("n", -3, 1), ("n", N, -1), ("price", 0.0, 1), ("", 1, 1), ("Unnamed: 0", 0, 7), ("", 0, 7)],
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


def test_an_index_of_a_parquet_file_is_left_out(tmp_path: Path) -> None:
    table = {"x": [i % 50 for i in range(N)], "liked": [i % 2 for i in range(N)]}
    pq.write_table(pa.table(table | {"__index_level_0__": [i * 3 for i in range(N)]}), tmp_path / "log.parquet")
    config, text = guessed(tmp_path / "log.parquet")
    assert kinds(config) == {"x": "numeric"}
    assert '# left out: "__index_level_0__": an index by its name' in text


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


@pytest.mark.parametrize("name", ["log.ndjson", "log.NDJSON", "log.ndjson.gz"])
def test_ndjson_is_jsonl(tmp_path: Path, name: str) -> None:
    content = b"".join(b'{"place": "p%d", "clicked": %d}\n' % (i % 5, i % 2) for i in range(60))
    config, _ = of_csv(tmp_path, gzip.compress(content) if name.endswith(".gz") else content, name)
    log = config.sources.impressions
    assert (log.format, log.path, log.label, kinds(config)) == ("jsonl", name, "clicked", {"place": "categorical"})


def test_json_lines_under_another_name_are_no_csv(tmp_path: Path) -> None:
    content = b"\n" + b"".join(b'{"place": "p%d", "clicked": %d}\n' % (i % 5, i % 2) for i in range(60))
    (tmp_path / "log.txt").write_bytes(content)
    with pytest.raises(InputError) as caught:
        initial_config(tmp_path / "log.txt", None, 1000, Path("x.yaml"))
    assert str(caught.value) == (
        "the name of a file whose lines are JSON objects must end in .jsonl or .ndjson, or in one of them and .gz "
        f"({tmp_path}/log.txt)"
    )
    columns = {"tags": ['{"a": 1}'] * 60, "clicked": [0, 1] * 30}  # an object in a field is a text
    assert "clicked" in of_csv(tmp_path, log_of(columns, ";"))[1]


def test_a_header_may_have_whole_numbers_among_its_names(tmp_path: Path) -> None:
    columns = {
        "clicked": [0, 1] * 50,
        "2019": [i * 3 % 70 for i in range(100)],
        "2020": [i % 40 / 4 for i in range(100)],
    }
    config, text = of_csv(tmp_path, log_of(columns))
    log = config.sources.impressions
    assert (log.text, log.label) == (DelimitedText(), "clicked")
    assert kinds(config) == {"place": "categorical", "column_2019": "numeric", "column_2020": "numeric"}
    assert "from all 100 rows" in text


@pytest.mark.parametrize(
    "first",
    [
        "?,5,0",  # a missing value above numbers
        "7,5,p1",
        "-,2019,0",  # a text that comes back below
        "odd,2.5,0",  # a number with a fraction is no name
        "new,5,5",  # no two columns have one name
        "4,5,0",
    ],
)
def test_a_first_row_of_values_is_no_header(tmp_path: Path, first: str) -> None:
    rows = [first, *(f"{'-' if i == 7 else i % 70},{i % 40},{i % 2}" for i in range(100))]
    (tmp_path / "log.csv").write_text("\n".join(rows))
    sample = read_sample(tmp_path / "log.csv", 1000)
    assert (sample.num_rows, [column.name for column in sample.columns]) == (101, ["column_1", "column_2", "column_3"])


def test_numbers_with_a_decimal_comma_are_no_lists(tmp_path: Path) -> None:
    columns = {
        "preis": [f"{i % 9},{i % 10}0" for i in range(200)],
        "netto": [f"-{i % 9}" if i % 3 else f"1.{i % 7}00,{i % 10}0" for i in range(200)],
        "tags": [f"{i % 9},{i % 5}" if i % 4 else "1,2,3" for i in range(200)],
        "clicked": [0, 1] * 100,
    }
    config, text = of_csv(tmp_path, log_of(columns, ";"))
    assert kinds(config) == {"place": "categorical", "tags": "categorical_list"}
    assert '# left out: "preis": numbers with a decimal comma, such as "0,00"; write them with a point' in text
    assert '# left out: "netto": numbers with a decimal comma, such as "1.000,00"; write them with a point' in text
    config, _ = of_csv(tmp_path, log_of({name: columns[name] for name in ("preis", "clicked")}, ";"))
    assert config.sources.impressions.list_separator == "|"


CLICKED = [0, 1] * 150
#: 60 % of the positive rows.
LATE = [clicked and i % 10 in (1, 3, 5) for i, clicked in enumerate(CLICKED)]


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        (
            "revenue",
            [f"{i}.5" if y else "" for i, y in enumerate(CLICKED)],
            "has a value in 100% of the positive rows ",
        ),
        ("revenue", [f"{i}.5" if late else "NA" for i, late in enumerate(LATE)], "has a value in 60% of the positive "),
        (
            "time",
            [1_764_333_005 + 5000 * i if late else "" for i, late in enumerate(LATE)],
            "has a value in 60% of the ",
        ),
        (
            "revenue",
            [f"{i}.5" if late else 0 for i, late in enumerate(LATE)],
            'is not "0" in 60% of the positive rows ',
        ),
        ("steps", ["ad|store" if late else "ad" for late in LATE], 'is not "ad" in 60% of the positive rows '),
        ("reason", ["" if y or i % 4 else f"r{i % 3}" for i, y in enumerate(CLICKED)], "has a value in 0% of the "),
        ("conversion", ["bad"[y] for y in CLICKED], 'is not "b" in 100% of the positive rows '),
        ("dwell", [y * 20 + i * 7 % 40 for i, y in enumerate(CLICKED)], ""),
        ("dwell", [y * 38 + i * 7 % 40 for i, y in enumerate(CLICKED)], "tells the label alone with an AUC of "),
        ("seen", [f"r{i % 3}" if i % 4 else "" for i in range(300)], ""),
        ("country", ["fr" if not y and i % 3 == 0 else "us" for i, y in enumerate(CLICKED)], ""),
    ],
)
def test_a_column_that_is_known_after_the_label_is_left_out(
    tmp_path: Path, name: str, values: Sequence[Any], reason: str
) -> None:
    config, text = of_csv(tmp_path, log_of({name: values, "clicked": CLICKED}))
    found = {f.source_column for f in config.spec.features}
    assert found == ({"place"} if reason else {"place", name})
    if reason:
        (line,) = (line for line in text.splitlines() if "left out" in line)
        assert line.startswith(f'  # left out: "{name}": {reason}')
        assert line.endswith(": known after the label?")
    few = log_of({name: values[:198], "clicked": CLICKED[:198]})  # 99 rows of each label
    assert name in {f.source_column for f in of_csv(tmp_path, few)[0].spec.features}


def test_the_rows_of_one_request_do_not_tell_each_other_s_label(tmp_path: Path) -> None:
    clicked = [i // 4 * 7 % 5 % 2 for i in range(400)]  # all rows of a request have one label
    columns = {"page": [f"p{i // 4}" for i in range(400)], "clicked": clicked}
    with_requests = log_of({"request_id": [i // 4 for i in range(400)]} | columns)
    assert set(kinds(of_csv(tmp_path, with_requests)[0])) == {"place", "page"}
    assert set(kinds(of_csv(tmp_path, log_of(columns))[0])) == {"place"}


def test_values_in_rows_without_a_label_alone_tell_nothing_of_it(tmp_path: Path) -> None:
    columns = {"note": ["ab"[i % 2] if i < 3 else "" for i in range(303)], "clicked": [*["?"] * 3, *CLICKED]}
    (tmp_path / "log.csv").write_bytes(log_of(columns))
    assert "name: note" in initial_config(tmp_path / "log.csv", None, 1000, Path("x.yaml"))


def test_a_column_that_is_known_after_the_label_is_in_no_list(tmp_path: Path) -> None:
    flags = {name: [i // step % 2 for i in range(300)] for name, step in (("a", 3), ("b", 5), ("c", 7))}
    _, text = of_csv(tmp_path, log_of(flags | {"paid": CLICKED, "clicked": CLICKED}), label="clicked")
    assert "one_hot: [a, b, c]" in text
    (tmp_path / "log.csv").write_text("clicked,paid\n" + "".join(f"{y},{y}\n" for y in CLICKED))
    with pytest.raises(InputError) as caught:
        initial_config(tmp_path / "log.csv", "clicked", 1000, Path("x.yaml"))
    assert str(caught.value) == (
        'a config needs a column to learn from beside the label \'clicked\'; left out: "paid": is not "0" in 100% of '
        f"the positive rows and 0% of the others: known after the label? ({tmp_path}/log.csv)"
    )


@pytest.mark.parametrize(
    ("labels", "rule"),
    [
        (["0", "1.0", "", "1"], None),
        (["True", "False"], None),
        (["yes", "no", "?"], {"positive": ["yes"], "negative": ["no"]}),
        (["3", "4.5", "5", ""], {"at_least": 4}),
    ],
)
def test_each_row_s_label(tmp_path: Path, labels: list[str], rule: dict[str, Any] | None) -> None:
    column = Column("y", "text", tuple((text,) for text in labels))
    sample = Sample(tmp_path, "csv", DelimitedText(), {}, (column,), len(labels), True)
    expected = {"0": 0, "False": 0, "no": 0, "3": 0, "": None, "?": None}
    assert read_labels(Label("y", "", rule), sample, ("?",)) == [expected.get(text, 1) for text in labels]


def test_rows_without_a_label_are_told(tmp_path: Path) -> None:
    content = b"a,clicked\n" + b"".join(b"a%d,%s\n" % (i % 4, (b"", b"0", b"1")[i % 3]) for i in range(60))
    (tmp_path / "log.csv").write_bytes(content)
    text = initial_config(tmp_path / "log.csv", None, 1000, Path("x.yaml"))
    assert "label: clicked  # by its name; 20 of the 60 rows have none and would be rejected" in text


def test_the_commands_are_a_shell_s_words(tmp_path: Path) -> None:
    folder, out = tmp_path / f"it's {'long' * 12} $(x)", tmp_path / "my configs" / "-x.yaml"
    folder.mkdir()
    out.parent.mkdir()
    (folder / "log.csv").write_bytes((NOTES + "\n".join(ROWS)).encode("latin-1"))
    done = run(str(folder / "log.csv"), "--out", str(out))
    assert shlex.split(done.output.split("then: ")[1]) == ["wdr", "check", str(out), "--data", str(folder)]
    lines = [line.removeprefix("#   ") for line in out.read_text("utf-8").splitlines() if line.startswith("#   ")]
    assert [shlex.split(line) for line in lines] == [
        ["wdr", "check", str(out), "--data", str(folder)],
        ["wdr", "run", str(out), "--data", str(folder), "--workspace", "runs/log"],
    ]
    assert shell_word(Path("-x.yaml")) == "./-x.yaml"


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[0m", "a\u202eb"])
def test_a_path_that_no_line_can_show_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "log.csv").write_bytes(b"a,b\n1,0\n2,1\n")
    with pytest.raises(InputError, match="a path must have printable characters only"):
        initial_config(tmp_path / "log.csv", None, 1000, tmp_path / name)


def test_the_label_can_be_named(tmp_path: Path) -> None:
    content = b"click,a,b\n" + b"".join(b"%d,%d,%d\n" % (i % 2, i % 2, i % 5) for i in range(50))
    config, _ = of_csv(tmp_path, content)
    assert config.sources.impressions.label == "click"
    config, _ = of_csv(tmp_path, content, label="a")
    assert config.sources.impressions.label == "a"
    config, _ = of_csv(tmp_path, content, label="b")
    assert config.sources.impressions.label_rule == LabelRule(at_least=3)  # 40 %, as near to half as 60 %, and higher


@pytest.mark.parametrize("label", [None, "clicked"])
@pytest.mark.parametrize("value", ["0", "no"])
def test_a_log_sorted_by_its_label_is_refused_instead_of_another_label_taken(
    tmp_path: Path, label: str | None, value: str
) -> None:
    clicked = [value] * 150 + ["1"] * 50
    (tmp_path / "log.csv").write_bytes(log_of({"sex": ["f", "m"] * 100, "clicked": clicked}))
    with pytest.raises(InputError) as caught:
        initial_config(tmp_path / "log.csv", label, 100, Path("x.yaml"))
    assert str(caught.value) == (
        f'the label must have two different values in the rows read. Received: only "{value}" in the first 100 rows of '
        "'clicked'; `--rows` reads more rows, `--label` names another column, and a log that is sorted by its label "
        f"needs its rows in another order ({tmp_path}/log.csv)"
    )
    text = initial_config(tmp_path / "log.csv", "sex", 100, Path("x.yaml"))
    assert "label: sex  # named by --label" in text
    text = initial_config(tmp_path / "log.csv", label, 1000, Path("x.yaml"))
    assert "label: clicked  #" in text


def test_a_column_of_one_value_hides_no_likelier_label(tmp_path: Path) -> None:
    columns = {"target_os": ["ios"] * 200, "response_code": ["200"] * 200, "sex": ["f", "m"] * 100}
    (tmp_path / "log.csv").write_bytes(log_of(columns | {"clicked": ["0", "1"] * 100}))
    assert "label: clicked  # by its name" in initial_config(tmp_path / "log.csv", None, 100, Path("x.yaml"))
    (tmp_path / "log.csv").write_bytes(log_of(columns | {"fraud": ["0", "1"] * 100}))
    text = initial_config(tmp_path / "log.csv", None, 100, Path("x.yaml"))
    assert "label: fraud  # the last column, which has two different values" in text
    # Of a whole file, a column of one value is no label whatever its name is.
    (tmp_path / "log.csv").write_bytes(log_of({"clicked": ["0"] * 200, "sex": ["f", "m"] * 100}))
    assert "label: sex  #" in initial_config(tmp_path / "log.csv", None, 1000, Path("x.yaml"))


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ({"target_os": "ia", "installed": "01"}, "installed"),
        ({"target_os": "ia", "is_installed": "01"}, "is_installed"),
        ({"target_os": "ia", "income": "hl"}, "income"),  # of texts, the whole name
        ({"target_new": "01", "liked": "01"}, "liked"),  # of 0 and 1, the whole name
        ({"class": "eb", "ad_clicked": "01"}, "ad_clicked"),  # as far from a label's: the likelier word
        ({"click_type": "ab", "app_purchase": "01"}, "app_purchase"),  # of longer names, 0 and 1
        ({"purchase": "01", "clicked": "01"}, "clicked"),
    ],
)
def test_the_label_is_the_column_with_the_likeliest_name_and_values(
    tmp_path: Path, names: dict[str, str], label: str
) -> None:
    columns = {name: list(values) * 60 for name, values in names.items()}
    (tmp_path / "log.csv").write_bytes(log_of(columns))
    assert f"label: {label}  # by its name" in initial_config(tmp_path / "log.csv", None, 1000, Path("x.yaml"))


@pytest.mark.parametrize(
    ("content", "name", "label", "sentence"),
    [
        (b"", "a.csv", None, "the lines must have fields between commas, tabs, semicolons or bars. Received: none"),
        (b"a,b\n", "a.csv", None, "no column of the first 1 rows has two different values"),
        (b"a,b\n1,2\n", "a.csv", None, "no column of the first 1 rows has two different values"),
        (b"a,b\n1,0\n2,1\n", "a.csv", "c", "`--label` names a column. Received: 'c'; allowed: ['a', 'b']"),
        (b"a\0,b\n1,0\n2,1\n", "a.csv", None, "this one has NUL bytes"),
        (
            gzip.compress(b"a,b\n1,0\n2,1\n", mtime=0),
            "a.csv",
            None,
            "the name of a gzip-compressed file must end in .gz",
        ),
        (gzip.compress(b"a,b\n1,0\n2,1\n", mtime=0), "a.csv.GZ", None, "must end in .gz, in small letters. Received: "),
        (gzip.compress(b'{"a": 1}\n', mtime=0), "a.jsonl.Gz", None, "must end in .gz, in small letters. Received: "),
        (gzip.compress(b"a,b\n" * 900, mtime=0)[:20], "a.csv.gz", None, "the file is damaged"),
        (b"PAR1", "a.parquet", None, "the file is damaged"),
        (b"{}", "a.json", None, "`wdr init` reads csv, tsv, jsonl and Parquet files"),
        (b"", "a.jsonl", None, "the file must have a row. Received: none"),
        (b"[1]\nx\n", "a.jsonl", None, "the lines of a jsonl file must be JSON objects. Received: none"),
        (b"{}\n", "a.jsonl", None, "the file must have 1 to 1000 columns. Received: 0"),
        (b"a,b\n1,0\n2,1\n", "a[1].csv", None, "the file's name must have none of"),
        (b"c,b\nx,0\nx,1\n", "a.csv", None, "a config needs a column to learn from beside the label 'b'"),
    ],
)
def test_a_file_that_gives_no_config_is_told(
    tmp_path: Path, content: bytes, name: str, label: str | None, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        initial_config(tmp_path / name, label, 1000, Path("x.yaml"))
    assert sentence in str(caught.value)


HOSTILE = st.text(
    st.one_of(st.sampled_from("ab#:{}[]!&*'\"%@`-?|>, \t\n\\/.,é\u2028\u0085\ufeff😀_"), st.characters(codec="utf-8")),
    min_size=1,
    max_size=12,
)
NAMES = st.one_of(
    HOSTILE,
    st.sampled_from(["label", "yes", "null", "~", "1", "1e3", "2026-01-01", "span", "a_bucket", "a", "A", "<<"]),
)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(names=st.lists(NAMES, min_size=2, max_size=6, unique=True), values=st.lists(NAMES, min_size=2, max_size=5))
def test_hostile_names_and_values_give_a_config_that_reads_them(
    tmp_path: Path, names: list[str], values: list[str]
) -> None:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([*names, "target"])
    writer.writerows([[values[(i + at) % len(values)] for at in range(len(names))] + [i % 2] for i in range(60)])
    (tmp_path / "log.csv").write_bytes(file.getvalue().encode())
    try:
        config, text = guessed(tmp_path / "log.csv")
    except InputError as error:
        event(f"refused: {str(error)[:30]}")
        return
    event("accepted")
    read = {f.source_column for f in config.spec.features}
    header = set(config.sources.impressions.text.columns) or {*names, "target"}
    assert read <= header
    assert text.isascii()
    assert all(line.isprintable() for line in text.splitlines())


@given(value=st.one_of(NAMES, st.lists(NAMES), st.dictionaries(NAMES, NAMES)))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_value_in_yaml_is_read_back(value: Any) -> None:
    line = yaml_value(value)
    assert "\n" not in line
    assert parse_yaml(f"x: {line}  # a comment", "test") == {"x": value}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["init", *arguments])


def test_the_command_overwrites_a_config_only_when_told(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes((NOTES + "\n".join(ROWS)).encode("latin-1"))
    out = tmp_path / "c.yaml"
    assert run(str(tmp_path / "log.csv"), "--out", str(out)).exit_code == 0
    first = out.read_bytes()
    assert load_config(out).name == "log"
    out.write_text("mine")
    refused = run(str(tmp_path / "log.csv"), "--out", str(out))
    assert refused.exit_code != 0
    assert out.read_text() == "mine"
    assert run(str(tmp_path / "log.csv"), "--out", str(out), "--force").exit_code == 0
    assert out.read_bytes() == first


def test_reading_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = b"".join(b"%d,%d\n" % (i % 2, i % 97) for i in range(5000))
    (tmp_path / "log.csv").write_bytes(b"click,x\n" + rows)
    text = initial_config(tmp_path / "log.csv", None, 300, Path("x.yaml"))
    assert 'from the first 300 rows of "log.csv"' in text
    monkeypatch.setattr("pipeline.initial_config.sample.MAX_BYTES", 1000)
    text = initial_config(tmp_path / "log.csv", None, 50_000, Path("x.yaml"))
    assert "from the first 2" in text  # of 992 bytes, in rows of 4 or 5


def test_reading_parquet_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "log.parquet"
    table = {"a": [f"a{i % 7}" for i in range(2000)], "y": [i % 2 for i in range(2000)]}
    pq.write_table(pa.table(table | {"raw": [[{"x": "x" * 9000}]] * 2000, "": [1] * 2000}), file)
    # Less than a value of `raw`, which is not read.
    monkeypatch.setattr("pipeline.initial_config.sample.MAX_BYTES", 9000)
    sample = read_sample(file, 50_000)
    assert 2 <= sample.num_rows <= 9000 / 14  # a text of 2 bytes, its offset of 4, and 8
    assert not sample.is_whole
    text = initial_config(file, None, 50_000, Path("x.yaml"))
    assert '# left out: "raw": of a type that is no feature\'s' in text
    assert '# left out: "": has no name' in text
    monkeypatch.setattr("pipeline.initial_config.sample._MAX_CELLS", 10)
    assert read_sample(file, 50_000).num_rows == 5

    pq.write_table(pa.table({"a": ["x" * 9001], "y": [1]}), file)
    with pytest.raises(InputError, match="the file's first row must have at most 9000 bytes"):
        read_sample(file, 10)
    pq.write_table(pa.table({f"c{i}": [1] for i in range(1001)}), file)
    with pytest.raises(InputError, match=r"the file must have 1 to 1000 columns\. Received: 1001"):
        read_sample(file, 10)
