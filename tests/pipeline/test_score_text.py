"""`wdr score` and `wdr explain` of csv and tsv files that are not in their format's usual form."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.batch_scoring.explain import explain_file
from pipeline.batch_scoring.score import ScoreResult, score_file
from pipeline.cli.main import cli
from tests.pipeline.score_model import adder, write_model
from tests.transform.small_config import small_config
from transform.errors import InputError

#: The log's settings, a file by them, and the file's row as columns; the catalog has the price of `a`, not of `"a"`.
BY_SETTINGS: dict[str, tuple[dict[str, Any], bytes, dict[str, str], np.float32]] = {
    "delimiter": ({"delimiter": ";"}, b"app;installed;note\na;b,c;x\n", {"installed": "b,c", "note": "x"}, adder(1, 1)),
    "columns": ({"columns": ["app", "installed", "note"]}, b"a,b|c,x\n", {"note": "x"}, adder(1, 2)),
    "skip_lines": ({"skip_lines": 2}, b"# 1\n# 2\napp,installed,note\na,,x\n", {"note": "x"}, adder(1, 0)),
    "latin-1": ({"encoding": "latin-1"}, b"app,installed,note\na,b,caf\xe9\n", {"note": "café"}, adder(1, 1)),
    "quoting": ({"quoting": False}, b'app,installed,note\n"a",b,x\n', {"app": '"a"', "note": "x"}, adder(0, 1)),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A pushed version by each of the settings."""
    root = tmp_path_factory.mktemp("models")
    text = "sources.impressions.text"
    return {name: write_model(root / name, small_config((text, own))) for name, (own, *_) in BY_SETTINGS.items()}


@pytest.mark.parametrize("kind", BY_SETTINGS)
def test_a_file_of_the_log_s_format_is_read_as_the_log_is(models: dict[str, str], tmp_path: Path, kind: str) -> None:
    _, content, expected, score = BY_SETTINGS[kind]
    (tmp_path / "in.csv").write_bytes(content)
    assert score_file(models[kind], str(tmp_path / "in.csv"), str(tmp_path / "out.csv")) == ScoreResult(
        str(tmp_path / "out.csv"), 1, 0, ()
    )
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)  # the output is in its format's usual form
    assert list(row) == ["app", "installed", "note", "score"]
    assert {name: row[name] for name in expected} == expected
    assert np.float32(row["score"]) == score
    ((_, explanation),) = explain_file(models[kind], str(tmp_path / "in.csv"), 1)
    assert [(part.feature, part.value) for part in explanation.deep] == [("app", row["app"])]


@pytest.mark.parametrize("kind", BY_SETTINGS)
def test_a_file_of_another_format_or_one_that_is_plain_is_read_in_the_usual_form(
    models: dict[str, str], tmp_path: Path, kind: str
) -> None:
    (tmp_path / "in.tsv").write_text("app\tinstalled\nb\tc\n")
    (tmp_path / "in.csv").write_text('app,installed\n"b",c\n')
    score_file(models[kind], str(tmp_path / "in.tsv"), str(tmp_path / "out.csv"))
    for command in ("score", "explain"):
        options = ["--model", models[kind], "--input", str(tmp_path / "in.csv"), "--plain"]
        options += ["--output", str(tmp_path / "plain.csv")] if command == "score" else []
        CliRunner().invoke(cli, [command, *options], catch_exceptions=False)
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "plain.csv").read_text()
    (row,) = csv.DictReader((tmp_path / "plain.csv").read_text().splitlines())
    assert np.float32(row["score"]) == adder(2, 1)
    ((_, explanation),) = explain_file(models[kind], str(tmp_path / "in.csv"), 5, plain=True)
    assert explanation.deep[0].value == "b"


def test_the_settings_are_told_where_a_file_is_not_as_the_log(models: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("app,installed\na,\n")
    with pytest.raises(InputError) as caught:
        score_file(models["delimiter"], str(path), str(tmp_path / "out.csv"))
    assert str(caught.value) == (
        "the columns ['app', 'installed'] are missing. Received: ['app,installed']; the file was read by the log's "
        f"`text` settings (delimiter: ';'); --plain reads its usual form ({path})"
    )
    reported = "the file was read by the log's `text` settings (columns: 3); --plain reads its usual form"
    report = score_file(models["columns"], str(path), str(tmp_path / "out.csv"))
    problems = tuple(f"line {line}: a row must have 3 fields. Received: 2" for line in (1, 2))
    assert report == ScoreResult(str(tmp_path / "out.csv"), 0, 2, problems, (reported,))
    options = ["--model", models["columns"], "--input", str(path)]
    done = CliRunner().invoke(cli, ["score", *options, "--output", str(tmp_path / "out.csv")], catch_exceptions=False)
    assert done.stderr.splitlines()[-1] == reported
    with pytest.raises(InputError) as caught:
        list(explain_file(models["columns"], str(path), 1))
    assert str(caught.value) == f"{problems[0]}; {reported} ({path})"
