"""The first rows of files of each format, and how a text file's form is guessed."""

from __future__ import annotations

import datetime
import decimal
import gzip
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ingestion.spans import resolve_span
from pipeline.check.rows import check_rows
from pipeline.initial_config.config_text import initial_config
from pipeline.initial_config.samples.reading import read_sample
from tests.pipeline.initial_config.guessing import NOTES, ROWS, guessed, kinds, log_of, of_csv
from transform.config.config import Config
from transform.config.sources import DelimitedText
from transform.errors import InputError


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
        ("id", pa.array([float(i * i) for i in range(N)]), None),  # a number that grows from row to row
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


def test_an_index_of_a_parquet_file_is_left_out(tmp_path: Path) -> None:
    table = {"x": [i % 50 for i in range(N)], "liked": [i % 2 for i in range(N)]}
    pq.write_table(pa.table(table | {"__index_level_0__": [i * 3 for i in range(N)]}), tmp_path / "log.parquet")
    config, text = guessed(tmp_path / "log.parquet")
    assert kinds(config) == {"x": "numeric"}
    assert '# left out: "__index_level_0__": an index by its name' in text


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


def test_numbers_with_units_are_left_out(tmp_path: Path) -> None:
    """As categories, each price would be learned alone."""
    columns = {
        "price": [f"${i % 9},{i:03}.50" for i in range(200)],
        "discount": [f"{i % 40}%" for i in range(200)],
        "size": [f"{i % 9} kg" for i in range(200)],  # a word may be a category
        "clicked": [0, 1] * 100,
    }
    config, text = of_csv(tmp_path, log_of(columns, ";"))
    assert kinds(config) == {"place": "categorical", "size": "categorical"}
    assert '# left out: "price": numbers with a unit, such as "$0,000.50"; write the number alone' in text
    assert '# left out: "discount": numbers with a unit, such as "0%"; write the number alone' in text


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
    columns["preis"] = [f"{i % 9 + 1},{i:03}" for i in range(200)]  # thousands, or three decimals
    _, text = of_csv(tmp_path, log_of(columns, ";"))
    reason = 'numbers with commas, such as "1,000"; write thousands without one, decimals with a point'
    assert f'# left out: "preis": {reason}' in text
    config, _ = of_csv(tmp_path, log_of({name: columns[name] for name in ("preis", "clicked")}, ";"))
    assert config.sources.impressions.list_separator == "|"


@pytest.mark.parametrize(
    ("content", "name", "label", "sentence"),
    [
        (b"", "a.csv", None, "the file must have a row. Received: none"),
        (b"a b\nc\n", "a.csv", None, 'double colons or blanks. Received: none, as in line 1, "a b"'),
        (
            b"a,b\n",
            "a.csv",
            None,
            "must have exactly two different values or be a rating by its name. Received: none",
        ),
        (
            b"a,clicked\n1,0\n2,1\n2,1\nTotal,700\n",
            "a.csv",
            None,
            'Received: none in the first 4 rows; "clicked" has 3 values, most often "1" (2 rows), "0" (1 rows), "700" '
            "(1 rows); `--label` names the label's column",
        ),
        (
            b"a,y\n1,pos\n2,neg\n2,neutral\n",
            "a.csv",
            "y",
            'Received: "y" has 3 values, most often "pos" (1 rows), "neg" (1 rows), "neutral" (1 rows) (',
        ),
        (b"a,b\n1,0\n2,1\n", "a.csv", "c", "`--label` names a column. Received: 'c'; allowed: ['a', 'b']"),
        (b"a,b\n1\0,0\n2,1\n", "a.csv", None, "a text file must have no NUL byte. Received: one in line 2 ("),
        ("a,b\n1,0\n".encode("utf-16"), "a.csv", None, "Received: UTF-16, by its bytes; `iconv -f UTF-16 -t UTF-8`"),
        (
            "город,y\nМосква,1\nОмск,0\n".encode("windows-1251"),
            "a.csv",
            None,
            "a text file must be UTF-8, Latin-1 or Windows-1252. Received: bytes that are not ASCII side by side, as "
            "in another alphabet, the first in line 1; `iconv -f WINDOWS-1251 -t UTF-8` writes a file of this encoding",
        ),
        (
            "a,市\n東京都,1\n大阪府,0\n".encode("shift-jis"),
            "a.csv",
            None,
            "as in another alphabet, the first in line 1;",
        ),
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
        (b"{}", "a.json", None, "a file with a JSON object in each line must be named .jsonl"),
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


def test_reading_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = b"".join(b"%d,%d\n" % (i % 2, i % 97) for i in range(5000))
    (tmp_path / "log.csv").write_bytes(b"click,x\n" + rows)
    text = initial_config(tmp_path / "log.csv", None, 300, Path("x.yaml")).text
    assert 'from the first 300 rows of "log.csv"' in text
    monkeypatch.setattr("pipeline.initial_config.samples.sample.MAX_BYTES", 1000)
    text = initial_config(tmp_path / "log.csv", None, 50_000, Path("x.yaml")).text
    assert "from the first 2" in text  # of 992 bytes, in rows of 4 or 5


def test_reading_parquet_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "log.parquet"
    table = {"a": [f"a{i % 7}" for i in range(2000)], "y": [i % 2 for i in range(2000)]}
    pq.write_table(pa.table(table | {"raw": [[{"x": "x" * 9000}]] * 2000, "": [1] * 2000}), file)
    # Less than a value of `raw`, which is not read.
    monkeypatch.setattr("pipeline.initial_config.samples.sample.MAX_BYTES", 9000)
    sample = read_sample(file, 50_000)
    assert 2 <= sample.num_rows <= 9000 / 14  # a text of 2 bytes, its offset of 4, and 8
    assert not sample.is_whole
    text = initial_config(file, None, 50_000, Path("x.yaml")).text
    assert '# left out: "raw": of a type that is no feature\'s' in text
    assert '# left out: "": has no name' in text
    monkeypatch.setattr("pipeline.initial_config.samples.sample.MAX_CELLS", 10)
    assert read_sample(file, 50_000).num_rows == 5

    pq.write_table(pa.table({"a": ["x" * 9001], "y": [1]}), file)
    with pytest.raises(InputError, match="the file's first row must have at most 9000 bytes"):
        read_sample(file, 10)
    pq.write_table(pa.table({f"c{i}": [1] for i in range(1001)}), file)
    with pytest.raises(InputError, match=r"the file must have 1 to 1000 columns\. Received: 1001"):
        read_sample(file, 10)
