"""Scores raw rows with a SavedModel that, instead of being trained, adds up its inputs."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from pipeline.batch_scoring import score
from pipeline.batch_scoring.raw_rows import ExampleMaker, model_config, read_catalog, read_table
from pipeline.batch_scoring.score import ScoreResult, score_file
from tests.components.ingestion.raw_rows import block_of_row
from tests.pipeline.score_model import PRICES, adder, write_model
from tests.transform.small_config import small_config, small_raw
from transform.config.config_file import parse_config
from transform.errors import InputError

CUT_OFF = (
    "the file is damaged or cut off after line 0; nothing of it is used: Compressed file ended before the "
    "end-of-stream marker was reached (<folder>/in.{}.gz)"
)

CONFIG = small_config()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pushed version: the SavedModel, the config and the catalog."""
    return write_model(tmp_path_factory.mktemp("model") / "1", CONFIG)


def lines(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.reader(file))


def scored(model: str, folder: Path, name: str, content: bytes, output: str = "out.csv", **more: Any) -> ScoreResult:
    (folder / name).write_bytes(content)
    return score_file(model, str(folder / name), str(folder / output), **more)


def test_a_row_is_scored_with_the_catalog_s_price(model: str, tmp_path: Path) -> None:
    content = 'note,app,installed\n"x, y",a,a|b\n,b,\nz,never seen,a\nw,,\n'
    assert scored(model, tmp_path, "in.csv", content.encode()) == ScoreResult(str(tmp_path / "out.csv"), 4, 0, ())
    header, *rows = lines(tmp_path / "out.csv")
    assert header == ["note", "app", "installed", "score"]
    assert [row[:3] for row in rows] == [["x, y", "a", "a|b"], ["", "b", ""], ["z", "never seen", "a"], ["w", "", ""]]
    expected = [adder(1, 2), adder(2, 0), adder(0, 1), adder(0, 0, named=False)]
    assert [np.float32(row[3]) for row in rows] == expected  # nine digits restore every float32


def test_the_rows_own_price_goes_before_the_catalog_s(model: str, tmp_path: Path) -> None:
    scored(model, tmp_path, "in.csv", b"app,installed,price\na,,7\na,,\n")
    assert [np.float32(row[3]) for row in lines(tmp_path / "out.csv")[1:]] == [adder(7, 0), adder(0, 0)]


def test_a_table_can_be_read_anew(model: str, tmp_path: Path) -> None:
    # A repeated key keeps its first row; rows that ingestion would reject are skipped.
    (tmp_path / "apps.csv").write_text("app,price\na,5\na,6\nb,free\nc,3\n,9\nd\n")
    (tmp_path / "log.csv").write_text("clicked,request,app,installed\n")
    scored(model, tmp_path, "in.csv", b"app,installed\na,\nb,\nc,\nd,\n", data_root=str(tmp_path))
    expected = [adder(5, 0), adder(0, 0), adder(3, 0), adder(0, 0)]
    assert [np.float32(row[2]) for row in lines(tmp_path / "out.csv")[1:]] == expected
    assert set(read_table(CONFIG, "catalog", [str(tmp_path / "apps.csv")])) == {"a", "c"}


def test_a_row_that_cannot_be_scored_keeps_its_place(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "BATCH_SIZE", 3)
    content = b"app,installed,price\na,,1\na,,dear\ncaf\xe9,,1\nshort\n" + b"a,,inf\n" * 3 + b"b,,2\n"
    report = scored(model, tmp_path, "in.csv", content)
    assert (report.num_scored, report.num_unscored) == (2, 6)
    assert report.problems == (  # the first five
        "line 3: `price` must be a number. Received: 'dear'",
        "line 4: `app` must be UTF-8 text. Received: 'caf\\udce9'",
        "line 5: a row must have 3 fields. Received: 1",
        "line 6: `price` must be a finite 32-bit number. Received: 'inf'",
        "line 7: `price` must be a finite 32-bit number. Received: 'inf'",
    )
    rows = lines(tmp_path / "out.csv")[1:]
    assert [row[:3] for row in rows[1:4]] == [["a", "", "dear"], ["caf\udce9", "", "1"], ["", "", ""]]
    assert [row[3] for row in rows[1:7]] == [""] * 6
    assert [np.float32(rows[i][3]) for i in (0, 7)] == [adder(1, 0), adder(2, 0)]


@pytest.mark.parametrize("name", ["in.csv", "in.tsv", "in.jsonl", "in.parquet", "in.csv.gz", "in.jsonl.gz"])
@pytest.mark.parametrize("output", ["out.csv", "out.tsv", "out.jsonl"])
def test_every_format_gives_the_same_scores(model: str, tmp_path: Path, name: str, output: str) -> None:
    rows: list[dict[str, Any]] = [
        {"app": "a", "note": "été"},
        {"app": "b", "note": 'a "word"'},
        {"app": "c", "note": "-"},
    ]
    installed = [["a", "b"], [], ["b"]]
    if "parquet" in name:
        table = pa.table({key: [row[key] for row in rows] for key in ("app", "note")} | {"installed": installed})
        pq.write_table(table, tmp_path / name)
        content = (tmp_path / name).read_bytes()
    elif "jsonl" in name:
        content = "".join(
            json.dumps({**row, "installed": apps}) + "\n" for row, apps in zip(rows, installed, strict=True)
        ).encode()
    else:
        separator, quote = (",", '"{}"') if "csv" in name else ("\t", "{}")
        table_rows = [["app", "note", "installed"]] + [
            [row["app"], quote.format(row["note"].replace('"', '""') if "csv" in name else row["note"]), "|".join(apps)]
            for row, apps in zip(rows, installed, strict=True)
        ]
        content = "".join(separator.join(row) + "\n" for row in table_rows).encode()
    report = scored(model, tmp_path, name, gzip.compress(content) if name.endswith(".gz") else content, output)
    assert report == ScoreResult(str(tmp_path / output), 3, 0, ())

    text = (tmp_path / output).read_text(encoding="utf-8")
    if output.endswith("jsonl"):
        found = [json.loads(line) for line in text.splitlines()]
    elif output.endswith("csv"):
        found = list(csv.DictReader(text.splitlines()))
    else:  # tsv has no quoting: a quote is text
        header, *values = [line.split("\t") for line in text.splitlines()]
        found = [dict(zip(header, row, strict=True)) for row in values]
    assert [{"app": row["app"], "note": row["note"]} for row in found] == rows
    assert [np.float32(row["score"]) for row in found] == [adder(1, 2), adder(2, 0), adder(0, 1)]


@pytest.mark.parametrize("output", ["out.csv", "out.jsonl"])
def test_dates_of_a_parquet_file_that_no_feature_reads_are_written_as_texts(
    model: str, tmp_path: Path, output: str
) -> None:
    day = pa.array([20_785, 3_000_000], pa.int32()).cast(pa.date32())  # 2026-11-28, and one that Python does not have
    pq.write_table(pa.table({"app": ["a", "b"], "installed": ["", "a"], "day": day}), tmp_path / "in.parquet")
    assert score_file(model, str(tmp_path / "in.parquet"), str(tmp_path / output)).num_scored == 2
    written = (tmp_path / output).read_text().splitlines()
    rows = list(map(json.loads, written)) if output.endswith("jsonl") else list(csv.DictReader(written))
    assert [row["day"] for row in rows] == ["2026-11-28", "date32[day] 3000000"]


def test_jsonl_has_null_where_a_parquet_file_has_no_finite_number(model: str, tmp_path: Path) -> None:
    """JSON has no NaN and no infinity."""
    nan, inf = float("nan"), float("inf")
    table = pa.table({
        "app": ["a", "b"],
        "installed": ["", "a"],
        "x": [nan, -inf],
        "xs": [[1.5, nan], [inf]],
        "member": [{"y": nan, "z": "a"}, {"y": 2.5, "z": None}],
        "by_name": pa.array([[("k", nan)], []], pa.map_(pa.string(), pa.float64())),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "in.parquet")
    assert score_file(model, str(tmp_path / "in.parquet"), str(tmp_path / "out.jsonl")).num_scored == 2

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    first, second = [json.loads(line, parse_constant=refuse) for line in lines]
    assert (first["x"], first["xs"], first["member"]) == (None, [1.5, None], {"y": None, "z": "a"})
    assert (second["x"], second["xs"], second["member"]) == (None, [None], {"y": 2.5, "z": None})
    assert (first["by_name"], second["by_name"]) == ([["k", None]], [])


def test_jsonl_has_null_where_there_is_no_score(model: str, tmp_path: Path) -> None:
    content = b'{"app": "a", "installed": null, "n": 7, "x": [1, null]}\n[1]\n{"app": true, "installed": "b"}\n'
    report = scored(model, tmp_path, "in.jsonl", content, "out.jsonl")
    assert (report.num_scored, report.num_unscored) == (1, 2)
    first, *others = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert np.float32(first.pop("score")) == adder(1, 0)
    assert first == {"app": "a", "installed": None, "n": 7, "x": [1, None]}
    assert others == [{"score": None}, {"app": True, "installed": "b", "score": None}]


@pytest.mark.parametrize(
    ("name", "content", "output", "sentence"),
    [
        (
            "in.xml", b"", "out.csv",
            "the file's name must end in one of ['.csv', '.jsonl', '.parquet', '.tsv']. Received: <folder>/in.xml",
        ),
        (
            "in.csv", b"app,installed\na,\n", "out",
            "the file's name must end in one of ['.csv', '.jsonl', '.parquet', '.tsv']. Received: <folder>/out",
        ),
        (
            "in.csv", b"app,installed\na,\n", "out.parquet",
            "the output's name must end in one of ['.csv', '.tsv', '.jsonl']: <folder>/out.parquet",
        ),
        (
            "in.csv", b"app,installed\na,\n", "out.csv.gz",
            "the output's name must end in one of ['.csv', '.tsv', '.jsonl']: <folder>/out.csv.gz",
        ),
        ("in.csv", b"app,score\na,1\n", "out.csv", "the input has a column `score` already (<folder>/in.csv)"),
        ("in.csv", b"", "out.csv", "the file is empty; its first line must name the columns (<folder>/in.csv)"),
        ("in.csv", b"app\na\n", "out.csv", "the columns ['installed'] are missing. Received: ['app']"),
        (
            "in.jsonl", b"\n[1]\n{\n", "out.csv",
            "one of the first 1,000 rows of a jsonl file must be a JSON object. Received: line 2: a row must be a JSON "
            "object. Received: list (<folder>/in.jsonl)",
        ),
        (
            "in.jsonl", b"\n", "out.csv",
            "one of the first 1,000 rows of a jsonl file must be a JSON object. Received: no row (<folder>/in.jsonl)",
        ),
        *(
            (f"in.{ending}.gz", gzip.compress(b'{"app": "a"}\n', mtime=0)[:-9], "out.csv", CUT_OFF.format(ending))
            for ending in ("csv", "jsonl")
        ),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_scored_is_told(
    model: str, tmp_path: Path, name: str, content: bytes, output: str, sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        scored(model, tmp_path, name, content, output)
    assert str(caught.value) == sentence.replace("<folder>", str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_the_output_does_not_replace_the_input(model: str, tmp_path: Path) -> None:
    content = b"app,installed\na,\n"
    (tmp_path / "link.csv").symlink_to("in.csv")
    for output in ("in.csv", "link.csv"):
        with pytest.raises(InputError) as caught:
            scored(model, tmp_path, "in.csv", content, output)
        assert str(caught.value) == (
            f"the output must be another file than the input, which it would replace: {tmp_path / output}"
        )
    assert (tmp_path / "in.csv").read_bytes() == content


def test_a_folder_that_is_no_pushed_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        model_config(str(tmp_path))
    assert str(caught.value) == f"a model must be a pushed version, as W/serving/store/3 is. Received: {tmp_path}"


def test_the_catalog_is_read_by_key(model: str) -> None:
    rows = {key: tf.train.Features.FromString(row) for key, row in read_catalog(model, "catalog").items()}
    assert {key: row.feature["price"].float_list.value[0] for key, row in rows.items()} == PRICES
    assert all("table_key" not in row.feature for row in rows.values())
    assert read_catalog(model, "another") == {}


def example(maker: ExampleMaker, row: dict[str, Any]) -> dict[str, Any]:
    (found,) = maker.examples(block_of_row(row))
    assert isinstance(found, bytes)
    features = tf.train.Example.FromString(found).features.feature
    return {name: list(getattr(f, f.WhichOneof("kind")).value) for name, f in features.items()}


def test_columns_are_planned_from_row_or_table() -> None:
    price = tf.train.Features(feature={"price": tf.train.Feature(float_list=tf.train.FloatList(value=[4.0]))})
    tables = {"catalog": {"a": price.SerializeToString()}}
    looked_up = ExampleMaker(CONFIG, tables, ["installed", "app", "more"])
    assert example(looked_up, {"app": "a", "installed": "x"}) == {"app": [b"a"], "installed": [b"x"], "price": [4.0]}
    assert example(looked_up, {"app": "b", "installed": ""}) == {"app": [b"b"]}
    in_the_row = ExampleMaker(CONFIG, {}, ["app", "installed", "price"])
    assert example(in_the_row, {"app": "a", "installed": "", "price": "2.5"}) == {"app": [b"a"], "price": [2.5]}
    assert "label" not in example(in_the_row, {"app": "a", "clicked": "1"})


def test_a_column_that_two_sources_have_is_not_taken_for_the_table_s() -> None:
    # The users' table and the catalog both have a column `language`.
    raw = small_raw()
    users = {"path": "users.csv", "format": "csv", "key": "user", "impression_key": "app"}
    raw["sources"]["tables"]["users"] = users
    shared = {"kind": "categorical", "vocabulary": {}, "column": "language"}
    raw["features"] += [
        {"name": "user_language", "side": "context", "source": "users", **shared},
        {"name": "app_language", "side": "item", "source": "catalog", **shared},
    ]
    config = parse_config(raw, "small.yaml")
    maker = ExampleMaker(config, {}, ["app", "installed", "price", "user_language", "app_language"])
    row = {"app": "a", "installed": "", "price": "1", "user_language": "de", "app_language": "en"}
    found = example(maker, row)
    assert (found["user_language"], found["app_language"]) == ([b"de"], [b"en"])
    with pytest.raises(InputError, match=r"^the columns \['language'\] are missing"):
        ExampleMaker(config, {}, ["app", "installed", "price", "language"])


def test_a_derived_feature_of_a_table_is_read_from_its_own_column_first() -> None:
    year = {"kind": "categorical", "vocabulary": {}, "column": "released"}
    derive = {"part": "year", "format": "iso"}
    config = small_config(
        ("features.3", {"name": "year", "side": "item", "source": "catalog", **year, "derive": derive}),
    )
    row = {"app": "a", "installed": "", "price": "1", "released": "1995-01-31", "year": "1995"}
    assert example(ExampleMaker(config, {}, list(row)), row)["year"] == [b"1995-01-31"]
    del row["released"]
    assert example(ExampleMaker(config, {}, list(row)), row | {"year": "1996-02-29"})["year"] == [b"1996-02-29"]


def test_a_list_of_one_hot_columns_is_read_from_them_or_from_a_column_of_the_feature_s_name() -> None:
    raw = small_raw()
    raw["features"][1]["one_hot"] = ["chess", "maps"]
    genres = {"kind": "categorical_list", "vocabulary": {}, "one_hot": ["action", "chess"]}
    raw["features"].append({"name": "genres", "side": "item", "source": "catalog", **genres})
    config = parse_config(raw, "small.yaml")
    maker = ExampleMaker(config, {}, ["app", "price", "chess", "maps", "genres"])
    row = {"app": "a", "price": "1", "chess": "0", "maps": "true", "genres": "chess|action"}
    assert example(maker, row) == {
        "app": [b"a"], "price": [1.0], "installed": [b"maps"], "genres": [b"chess", b"action"],
    }  # fmt: skip
    listed = ExampleMaker(config, {}, ["app", "price", "installed", "genres"])
    found = example(listed, {"app": "a", "price": "1", "installed": "maps|chess", "genres": ""})
    assert found == {"app": [b"a"], "price": [1.0], "installed": [b"maps", b"chess"]}
    with pytest.raises(InputError, match=r"^the columns \['action', 'chess'\] are missing"):
        ExampleMaker(config, {}, ["app", "price", "chess", "maps", "action"])  # the log has a column `chess`


@pytest.mark.parametrize(
    ("columns", "tables", "sentence"),
    [
        (
            ["app", "price"],
            {},
            "the columns ['installed'] are missing. Received: ['app', 'price']",
        ),
        (
            ["app", "installed"],
            {},
            "the columns ['price'] are missing; they can be had by `app` from the table `catalog`, with --data. "
            "Received: ['app', 'installed']",
        ),
        (
            ["app", "installed"],
            {"catalog": {}},  # a catalog without a row
            "the columns ['price'] are missing; they can be had by `app` from the table `catalog`, with --data. "
            "Received: ['app', 'installed']",
        ),
    ],
)
def test_columns_that_are_not_to_be_had_are_told(columns: list[str], tables: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        ExampleMaker(CONFIG, tables, columns)
    assert str(caught.value) == sentence


def test_a_value_that_tsv_cannot_hold_is_told_and_nothing_is_left(model: str, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text('app,note,installed\na,plain,a\na,"a\ttab",a\n')
    with pytest.raises(
        InputError, match=r"^a tsv file cannot hold a tab or a line end in a value; .*Received: line 3 \("
    ):
        score_file(model, str(source), str(tmp_path / "out.tsv"))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["in.csv"]


def test_a_model_whose_files_were_changed_scores_nothing(model: str, tmp_path: Path) -> None:
    damaged = tmp_path / "1"
    shutil.copytree(model, damaged)
    (damaged / "variables" / "variables.index").unlink()
    with pytest.raises(InputError) as error:
        scored(str(damaged), tmp_path, "in.csv", b"installed,price,name\n1,2,a\n")
    assert str(error.value) == (
        f"a version's files must be those that were pushed. Received: variables/variables.index is missing ({damaged})"
    )
    assert not (tmp_path / "out.csv").exists()
