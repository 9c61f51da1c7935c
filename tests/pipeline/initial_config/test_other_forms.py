"""`wdr init` on files in the forms of public data sets: other delimiters, line ends and dates, and several tables."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.ingestion.spans import resolve_span
from pipeline.check.rows import check_rows
from pipeline.cli.main import cli
from pipeline.initial_config.config_text import initial_config
from tests.pipeline.initial_config.guessing import guessed, kinds
from transform.config.config import Config
from transform.config.config_file import load_config
from transform.config.sources import DelimitedText
from transform.errors import InputError

ROWS = range(4000)
NUM_USERS, NUM_MOVIES = 150, 300
USERS, MOVIES = [i // 20 % NUM_USERS + 1 for i in ROWS], [i * 7 % NUM_MOVIES + 1 for i in ROWS]
STARS = random.Random(1).choices(range(1, 6), k=len(ROWS))
TIMES = [978_300_760 + 60 * i for i in ROWS]
KINDS = ["Animation", "Children's", "Comedy", "Romance", "Drama", "Crime"]
GENRES = ["|".join(KINDS[at] for at in range(6) if number >> at & 1) for number in range(1, 64)]
TITLES = [f"Caf\xe9 {i}, The ({1950 + i % 50})" for i in range(NUM_MOVIES)]


def written(folder: Path, files: Mapping[str, str], encoding: str = "latin-1") -> list[Path]:
    for name, content in files.items():
        (folder / name).write_bytes(content.encode(encoding))
    return [folder / name for name in files]


def read(config: Config, data: Path) -> dict[str, tuple[int, int]]:
    """Returns the numbers of rows read and rejected, by source."""
    reports = check_rows(config, resolve_span(config, str(data)), 10_000)
    return {report.name: (report.num_rows, report.num_rejected) for report in reports}


#: As MovieLens 1M has them: without header lines, and ids that all three files have.
MOVIELENS_1M = {
    "ratings.dat": "".join(f"{u}::{m}::{s}::{t}\n" for u, m, s, t in zip(USERS, MOVIES, STARS, TIMES, strict=True)),
    "movies.dat": "".join(f"{i + 1}::{TITLES[i]}::{GENRES[i % 63]}\n" for i in range(NUM_MOVIES)),
    "users.dat": "".join(f"{i + 1}::{'FM'[i % 2]}::{(1, 18, 25)[i % 3]}::{i % 20}::48{i:03}\n" for i in range(400)),
}


def test_ratings_movies_and_users_between_colons(tmp_path: Path) -> None:
    ratings, *tables = written(tmp_path, MOVIELENS_1M)
    config, text = guessed(ratings, "column_3", tables=tables)
    log = config.sources.impressions
    columns = ("column_1", "column_2", "column_3", "column_4")
    assert log.text == DelimitedText("::", columns=columns)
    assert (log.item_id, config.user, log.timestamp) == ("column_2", "column_1", "column_4")
    assert {name: (table.key, table.log_column) for name, table in config.sources.tables.items()} == {
        "movies": ("column_1", "column_2"),
        "users": ("column_1", "column_1"),
    }
    assert config.sources.tables["movies"].text.encoding == "latin-1"
    assert {(f.name, f.source, f.source_column, f.side, f.kind) for f in config.spec.features if not f.derive} == {
        ("column_1", "impressions", "column_1", "context", "categorical"),
        ("column_2", "impressions", "column_2", "item", "categorical"),
        ("column_3", "movies", "column_3", "item", "categorical_list"),
        ("column_2_2", "users", "column_2", "context", "categorical"),
        ("column_3_2", "users", "column_3", "context", "categorical"),
        ("column_4", "users", "column_4", "context", "categorical"),
    }
    assert read(config, tmp_path) == {"impressions": (4000, 0), "movies": (300, 0), "users": (400, 0)}
    assert "key: column_1  # by their values: 100.0% of the log's rows find a row here" in text


def test_tables_are_joined_by_their_names(tmp_path: Path) -> None:
    files = {
        "ratings.csv": "userId,movieId,rating,timestamp\n"
        + "".join(f"{u},{m},{s},{t}\n" for u, m, s, t in zip(USERS, MOVIES, STARS, TIMES, strict=True)),
        "movies.csv": "movieId,title,genres,popularity\n"
        + "".join(f'{i + 1},"{TITLES[i]}",{GENRES[i % 63]},{i * 7 % 97 / 4}\n' for i in range(NUM_MOVIES)),
        "links.csv": "movieId,imdbId,tmdbId\n" + "".join(f"{i + 1},{i * 31},{i * 17}\n" for i in range(NUM_MOVIES)),
        "users.csv": "id;age;gender;rating\n"
        + "".join(f"{i + 1};{i % 60 + 9};{'FM'[i % 2]};{i % 9}\n" for i in range(400)),
    }  # fmt: skip
    paths = written(tmp_path, files)
    result = CliRunner().invoke(cli, ["init", *map(str, paths), "--out", str(tmp_path / "c.yaml")])
    assert result.exit_code == 0, result.output
    config = load_config(tmp_path / "c.yaml")
    assert {name: (t.path, t.key, t.log_column) for name, t in config.sources.tables.items()} == {
        "movies": ("movies.csv", "movieId", "movieId"),
        "links": ("links.csv", "movieId", "movieId"),
        "users": ("users.csv", "id", "userId"),
    }
    assert config.item_id is not None
    assert config.item_id.name == "movie_id"
    sides = {f.name: (f.source, f.side) for f in config.spec.features if f.source != "impressions"}
    assert sides == {
        "genres": ("movies", "item"), "popularity": ("movies", "item"),
        "age": ("users", "context"), "gender": ("users", "context"), "rating": ("users", "context"),
    }  # fmt: skip
    assert config.evaluation.slices is not None
    assert set(read(config, tmp_path).values()) == {(4000, 0), (300, 0), (400, 0)}


def test_a_table_that_nothing_joins_is_told(tmp_path: Path) -> None:
    files = {
        "ratings.csv": "userId,rating\n" + "".join(f"{u},{s}\n" for u, s in zip(USERS, STARS, strict=True)),
        "tags.csv": "userId,tag\n" + "".join(f"{i % 30},t{i % 7}\n" for i in range(200)),
    }
    ratings, tags = written(tmp_path, files)
    with pytest.raises(InputError) as caught:
        initial_config(ratings, None, 1000, Path("x.yaml"), tables=[tags])
    assert str(caught.value) == (
        "a table must have a column with another value in each row, by which a row is found for 50% of the rows of the "
        "log, the first file, from a column of the same name or an id, or for 95% from another column. Received: "
        f"none of ['userId', 'tag'] ({tags})"
    )


def test_a_file_is_named_once(tmp_path: Path) -> None:
    ratings, movies, _ = written(tmp_path, MOVIELENS_1M)
    with pytest.raises(InputError) as caught:
        initial_config(ratings, "column_3", 1000, Path("x.yaml"), tables=[movies, tmp_path / "." / "movies.dat"])
    assert str(caught.value) == f"each file must be named once. Received more often: ['{movies}']"


def test_what_a_table_knows_only_after_the_label_is_left_out(tmp_path: Path) -> None:
    files = {
        "log.csv": "user_id,movie_id,rating\n"
        + "".join(f"{u},{m},{s}\n" for u, m, s in zip(USERS, MOVIES, STARS, strict=True)),
        "movies.csv": "movie_id,year,vote_average\n"
        + "".join(f"{m},{1990 + m % 30},{m * 7 % 97 / 10}\n" for m in range(1, 301)),
    }  # fmt: skip
    log, movies = written(tmp_path, files)
    config, text = guessed(log, tables=[movies])
    assert {f.name for f in config.spec.features} == {"user_id", "movie_id", "year"}
    assert '# left out: "vote_average": by the word "vote" in its name known only after the label' in text


@pytest.mark.parametrize(
    ("dates", "form", "first"),
    [
        ([f"Feb {i % 28 + 1}, 2014" for i in ROWS], "%b %d, %Y", 1_391_212_800),
        ([f"{i % 28 + 1:02}.02.2014" for i in ROWS], "%d.%m.%Y", 1_391_212_800),
        ([f"02/{i % 28 + 1:02}/2014" for i in ROWS], "%m/%d/%Y", 1_391_212_800),
        ([f"{i % 28 + 1}/2/2014 17:05" for i in ROWS], "%d/%m/%Y %H:%M", 1_391_274_300),
        ([f"2014/02/{i % 28 + 1:02} 05:05 PM" for i in ROWS], "%Y/%m/%d %I:%M %p", 1_391_274_300),
        ([f"02 {i % 28 + 1}, 2014" for i in ROWS], "%m %d, %Y", 1_391_212_800),
        ([f"201402{i % 28 + 1:02}" for i in ROWS], "%Y%m%d", 1_391_212_800),
        ([f"2014-02-{i % 28 + 1:02}" for i in ROWS], None, 1_391_212_800),
        ([f"Fri Feb {i % 28 + 1:02} 17:05:00 +0000 2014" for i in ROWS], "%a %b %d %H:%M:%S %z %Y", 1_391_274_300),
    ],
)
def test_the_forms_of_dates(tmp_path: Path, dates: list[str], form: str | None, first: float) -> None:
    rows = zip(USERS, dates, STARS, strict=True)
    (path,) = written(tmp_path, {"log.csv": "user_id;date;rating\n" + "".join(f"{u};{d};{s}\n" for u, d, s in rows)})
    config, _ = guessed(path)
    log = config.sources.impressions
    assert (log.timestamp, log.timestamp_format) == ("date", form)
    (report,) = check_rows(config, resolve_span(config, str(tmp_path)), 10_000)
    assert (report.num_rejected, report.seconds) == (0, 27 * 86_400)
    assert first == 1_391_212_800 + (17 * 3600 + 5 * 60 if first % 86_400 else 0)  # 2014-02-01 in UTC


def test_a_date_of_two_meanings_is_told(tmp_path: Path) -> None:
    rows = zip([f"{i % 12 + 1:02}/{i % 11 + 1:02}/2014" for i in ROWS], STARS, USERS, strict=True)
    (path,) = written(tmp_path, {"log.csv": "date,rating,user_id\n" + "".join(f"{d},{s},{u}\n" for d, s, u in rows)})
    assert 'such as "01/01/2014"; it may be %d/%m/%Y too\n' in guessed(path)[1]


def test_a_text_that_is_no_time_of_all_rows_is_no_timestamp(tmp_path: Path) -> None:
    dates = ["Feb 30, 2014" if i == 7 else f"Feb {i % 28 + 1}, 2014" for i in ROWS]
    rows = zip(USERS, dates, STARS, strict=True)
    (path,) = written(tmp_path, {"log.csv": "user_id;date;rating\n" + "".join(f"{u};{d};{s}\n" for u, d, s in rows)})
    config, text = guessed(path)
    assert config.sources.impressions.timestamp is None
    assert 'no time of one form in 1 of 4,000 rows, first in row 8, such as "Feb 30, 2014"\n' in text


def test_carriage_returns_end_the_lines(tmp_path: Path) -> None:
    rows = zip(USERS, STARS, strict=True)
    (path,) = written(tmp_path, {"log.csv": "user_id,rating\r" + "".join(f"{u},{s}\r" for u, s in rows)})
    config, text = guessed(path)
    assert config.sources.impressions.text == DelimitedText(line_end="cr")
    assert "line_end: cr  # there are carriage returns and no newline\n" in text
    assert read(config, tmp_path) == {"impressions": (4000, 0)}


def test_a_table_aligned_by_blanks(tmp_path: Path) -> None:
    """As Auto MPG has it: numbers that are aligned by blanks, and after a tab a name in quotes."""
    rows = (f'{i % 40 / 2 + 9:<7}{i % 6 + 3:<4}{i * 7 % 400:<11.1f}{i % 2}\t"maker {i % 9} car"\n' for i in ROWS)
    (path,) = written(tmp_path, {"auto-mpg.data": "".join(rows)})
    config, _ = guessed(path, "column_4")
    columns = tuple(f"column_{number}" for number in range(1, 6))
    assert config.sources.impressions.text == DelimitedText(r"\s+", columns=columns)
    assert kinds(config)["column_5"] == "categorical"
    assert read(config, tmp_path) == {"impressions": (4000, 0)}


def test_rows_of_a_column_more_are_told_with_their_line(tmp_path: Path) -> None:
    rows = [f"{u},a{u % 3},{s}\n" for u, s in zip(USERS, STARS, strict=True)]
    rows[15] = "1,a, b,3\n"
    (path,) = written(tmp_path, {"log.csv": "user_id,tag,rating\n" + "".join(rows)})
    config, text = guessed(path)
    assert (
        "format: csv  # 1 of the first 2,000 rows are rejected as they have not 3 fields, the first at line 17\n"
        in text
    )
    (report,) = check_rows(config, resolve_span(config, str(tmp_path)), 10_000)
    assert report.rejected["malformed"].first == (
        "a row must have 3 fields. Received: 4; a field with ',' in it must stand in double quotes; if all rows have "
        f"4, name the columns in `text.columns` (line 17, {path})"
    )


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ("{u},{s},p{i}z,\n", ("user_id", "rating", "place", "unnamed")),
        ('"r{n}",{u},{s},p{i}z\n', ("unnamed", "user_id", "rating", "place")),
    ],
    ids=["a delimiter at the end", "names of rows"],
)
def test_rows_with_a_field_more_than_the_header(tmp_path: Path, row: str, columns: tuple[str, ...]) -> None:
    rows = (row.format(n=i, i=i % 3, u=u, s=s) for i, (u, s) in enumerate(zip(USERS, STARS, strict=True)))
    (path,) = written(tmp_path, {"log.csv": "user_id,rating,place\n" + "".join(rows)})
    config, _ = guessed(path)
    assert config.sources.impressions.text == DelimitedText(columns=columns, skip_lines=1)
    assert kinds(config).items() >= {"user_id": "categorical", "place": "categorical"}.items()
    assert read(config, tmp_path) == {"impressions": (4000, 0)}


def test_a_header_that_lacks_a_name_that_may_be_any_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"{i % 80},{i % 60},{'ab'[i % 2]},{20 + i % 9},{i % 3 % 2}\n" for i in ROWS)
    (log,) = written(tmp_path, {"log.csv": f"user_id,item_id,country,age\n{rows}"})
    with pytest.raises(InputError) as caught:
        initial_config(log, None, 1000, Path("x.yaml"))
    assert str(caught.value) == (
        "the header line must name each column, but the rows have 5 fields; which column has no name cannot be told. "
        f'Received: 4 names, "user_id,item_id,country,age" ({log})'
    )


def test_utf_8_with_a_damaged_byte_stays_utf_8(tmp_path: Path) -> None:
    """Quotes of three bytes each are no other alphabet; the row with the byte alone is rejected."""
    rows = [f"“app {i % 9}”,{i * i % 7 % 2}\n" for i in range(300)]
    content = f"name,clicked\n{''.join(rows)}".encode().replace("“app 7”".encode(), b"app \xff 7", 1)
    (tmp_path / "log.csv").write_bytes(content)
    config, text = guessed(tmp_path / "log.csv")
    assert config.sources.impressions.text.encoding == "utf-8"
    assert "format: csv  # a row with a byte that is not UTF-8 is rejected, as line 9\n" in text
