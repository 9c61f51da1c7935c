"""Raw tables of two public shapes run from the config that `wdr init` writes, edited in at most ten lines."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.shapes import write_census, write_ratings
from components.ingestion.spans import resolve_span
from pipeline.check.rows import check_files, check_rows
from pipeline.cli.main import cli
from tests.e2e.bad_store import ok_in_process
from tests.e2e.store import versions
from transform.config.config import Config
from transform.config.config_file import load_config

CENSUS = [
    ("    path: adult.data", "    splits: {train: adult.data, eval: adult.test}"),
    ("    label_rule:", '    label_rule: {positive: [">50K", ">50K."], negative: ["<=50K", "<=50K."]}'),
]


def edited(path: Path, edits: list[tuple[str, str]]) -> int:
    """Replaces the first line with each beginning, and returns the number of lines written by hand."""
    before = path.read_text().splitlines(keepends=True)
    after = list(before)
    for beginning, line in edits:
        at = next(i for i, text in enumerate(after) if text.startswith(beginning))
        after[at] = f"{line}\n"
    path.write_text("".join(after))
    lines = difflib.ndiff(before, path.read_text().splitlines(keepends=True))
    return sum(line.startswith("+ ") for line in lines)


def wdr(*arguments: str) -> str:
    result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def checked(config: Config, data: Path) -> dict[str, tuple[int, int]]:
    """Returns the numbers of rows read and rejected, by source, after `wdr check`'s checks."""
    found = resolve_span(config, str(data))
    check_files(config, found)
    return {report.name: (report.num_rows, report.num_rejected) for report in check_rows(config, found, 100_000)}


def census(folder: Path, num_train: int, num_eval: int) -> Path:
    write_census(folder, num_train, num_eval)
    config = folder / "census.yaml"
    wdr("init", str(folder / "adult.data"), "--out", str(config))
    assert edited(config, CENSUS) <= 10
    return config


def test_the_census_table_passes_the_check(tmp_path: Path) -> None:
    config = load_config(census(tmp_path, 1500, 500))
    assert checked(config, tmp_path) == {"impressions": (2001, 1)}  # the first line of adult.test is no row


def ratings(folder: Path, number: int) -> Path:
    write_ratings(folder, number)
    path = folder / "ratings.yaml"
    files = (str(folder / name) for name in ("u.data", "u.item", "u.user"))
    wdr("init", *files, "--label", "column_3", "--out", str(path))
    return path


def test_the_ratings_tables_pass_the_check(tmp_path: Path) -> None:
    config = load_config(ratings(tmp_path, 3000))
    rows = checked(config, tmp_path)
    assert rows["impressions"] == (3000, 0)
    assert all(rejected == 0 for _, rejected in rows.values())
    assert {name: table.log_column for name, table in config.sources.tables.items()} == {
        "u_item": "column_2",
        "u_user": "column_1",
    }
    sides = {(f.source, f.source_column): f.side for f in config.spec.features if f.derive is None}
    assert sides == {
        ("impressions", "column_1"): "context", ("impressions", "column_2"): "item", ("u_item", "column_3"): "item",
        ("u_user", "column_2"): "context", ("u_user", "column_3"): "context", ("u_user", "column_4"): "context",
    }  # fmt: skip


@pytest.mark.slow
def test_the_census_table_runs_to_a_push(tmp_path: Path) -> None:
    config = census(tmp_path, 6000, 2000)
    workspace = tmp_path / "workspace"
    assert "training:" not in ok_in_process("check", config, "--data", tmp_path)
    ok_in_process("run", config, "--data", tmp_path, "--workspace", workspace)
    assert versions(workspace, "adult") == [1]


@pytest.mark.slow
def test_the_ratings_tables_run_to_a_push(tmp_path: Path) -> None:
    config = ratings(tmp_path, 8000)
    workspace = tmp_path / "workspace"
    ok_in_process("run", config, "--data", tmp_path, "--workspace", workspace)
    assert versions(workspace, "u") == [1]
