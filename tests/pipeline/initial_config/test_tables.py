"""By which columns `wdr init` joins tables to a log: ids before other numbers, and what it says where several fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.main import cli
from pipeline.initial_config.config_text import initial_config
from tests.pipeline.initial_config.guessing import guessed, kinds
from transform.errors import InputError

ROWS = range(2000)


def written(folder: Path, user: str, table: str, header: str = "user_id,item_id,age,hour,clicked") -> list[Path]:
    rows = (f"{user}{i % 80},{i * 7 % 99},{18 + i * 3 % 40},{i % 24},{i % 5 % 2}" for i in ROWS)
    (folder / "log.csv").write_text("\n".join([header, *rows, ""]))
    (folder / "meta.csv").write_text(table)
    return [folder / "log.csv", folder / "meta.csv"]


#: 60 of the 99 items: 1,212 of the 2,000 rows have one, and all rows have an age from 18 to 57.
META = "id,genre\n" + "".join(f"{i},{'xyz'[i * 7 % 11 % 3]}\n" for i in range(60))
NUM_FOUND = sum(i * 7 % 99 < 60 for i in ROWS)


def test_an_id_goes_before_a_quantity(tmp_path: Path) -> None:
    log, meta = written(tmp_path, "u", META)
    config, text = guessed(log, tables=[meta])
    assert config.sources.tables["meta"].log_column == "item_id"
    assert f"key: id  # by their values: {NUM_FOUND / 2000:.1%} of the log's rows find a row here\n" in text


def test_other_columns_that_fit_are_named(tmp_path: Path) -> None:
    log, meta = written(tmp_path, "", META)
    result = CliRunner().invoke(cli, ["init", str(log), str(meta), "--out", str(tmp_path / "c.yaml")])
    # 60 of 80 users have a row: three in four rows, and more values in common than with the items.
    line = 'its "id" is the log\'s "user_id", by their values: 75.0% of the log\'s rows find a row here; it may be of '
    assert f'table meta: {line}"item_id" too\n' in result.output
    assert 'find a row here; it may be of "item_id" too\n' in (tmp_path / "c.yaml").read_text()


def test_a_quantity_alone_joins_no_table(tmp_path: Path) -> None:
    of_ages = "no,genre\n" + "".join(f"{i},{'xyz'[i % 3]}\n" for i in range(18, 58))
    log, meta = written(tmp_path, "u", of_ages)
    with pytest.raises(InputError, match="a table must have a column with another value in each row"):
        initial_config(log, None, 5000, Path("x.yaml"), tables=[meta])
    meta = meta.rename(tmp_path / "ages.csv")  # unless the table is named after it
    assert guessed(log, tables=[meta])[0].sources.tables["ages"].log_column == "age"


def test_a_key_is_a_category(tmp_path: Path) -> None:
    """As a log of pairs of people has it: both columns are keys of one table."""
    people = "id,age\n" + "".join(f"{i},{20 + i * 7 % 41}\n" for i in range(99))
    log, meta = written(tmp_path, "", people, "src,dst,age,hour,clicked")
    config, text = guessed(log, tables=[meta])
    assert config.sources.tables["meta"].log_column == "dst"
    assert kinds(config)["dst"] == "categorical"
    assert "# 99 different values, the keys of a table\n" in text
    assert 'find a row here; it may be of "src" too\n' in text
