"""Tests of the client commands of `wdr` against a model server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.ranking_client.settings import ClientSettings, read_settings, write_settings
from tests.serving.ranking_client.tiny_model import CATALOG, score


def wdr(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    environment = os.environ | {"COLUMNS": "120"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)


@pytest.fixture
def client(server: str, tmp_path: Path) -> list[str]:
    """Options that name a settings file, with a deadline long enough for a busy machine."""
    write_settings(ClientSettings(model="tiny", server=server, deadline_seconds=20.0), str(tmp_path / "client.json"))
    return ["--settings", str(tmp_path / "client.json")]


@pytest.fixture
def requests(tmp_path: Path) -> str:
    path = tmp_path / "requests.jsonl"
    path.write_text(json.dumps({"context": {"age": 30}, "candidates": list(CATALOG)[:40]}))
    return str(path)


def test_rank_prints_a_table(client: list[str]) -> None:
    run = wdr(
        "rank", *client, "--context", '{"age": 30, "country": 7}', "--items", "app_1, app_2,new", "-k2", "--logits"
    )
    assert run.returncode == 0, run.stderr
    assert "tiny, version 1" in run.stdout
    rows = [line.strip("│").split("│") for line in run.stdout.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["1", "app_2", f"{score(0.74, 30):.6f}", "0.740000", "1.300000", "yes"],
        ["2", "app_1", f"{score(0.37, 30):.6f}", "0.370000", "1.300000", "yes"],
    ]


def test_rank_shows_an_id_as_it_was_given(client: list[str]) -> None:
    run = wdr("rank", *client, "--context", '{"age": 30, "country": 7}', "--items", "[/b],[hotfix] :x:")
    assert run.returncode == 0, run.stderr
    ids = [line.strip("│").split("│")[1].strip() for line in run.stdout.splitlines() if line.startswith("│")]
    assert sorted(ids) == ["[/b]", "[hotfix] :x:"]


def test_rank_warns_of_a_value_that_the_model_does_not_know(client: list[str]) -> None:
    arguments = ["rank", *client, "--context", '{"country": "noon"}', "--items", "app_1"]
    sentence = (
        "the value 'noon' of context feature 'country' is not in the vocabulary of version 1; the model takes it for "
        "an unknown one"
    )
    run = wdr(*arguments)
    assert (run.returncode, run.stderr) == (0, f"warning: {sentence}\n")
    run = wdr(*arguments, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["warnings"] == [sentence]


def test_rank_reads_items_from_a_file_and_prints_json(client: list[str], tmp_path: Path) -> None:
    (tmp_path / "items").write_text('app_1\n\n{"id": "new", "features": {"quality": 3}}\napp_2\n')
    run = wdr("rank", *client, "--context", "{}", "--items", f"@{tmp_path / 'items'}", "--json")
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert [(item["id"], item["in_catalog"]) for item in answer["items"]] == [
        ("new", False),
        ("app_2", True),
        ("app_1", True),
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--context", "[1]", "--items", "a"], "error: --context must be a JSON object. Received: [1]\n"),
        (["--context", "{", "--items", "a"], "error: --context must be JSON: "),
        (
            ["--context", '{"contry": "us"}', "--items", "a"],
            "error: the model has no context feature 'contry' and ignores it; version 1 has ['age', 'country']\n",
        ),
        (
            ["--context", '{"age": "young"}', "--items", "a"],
            "error: feature 'age' of the context must be a number, or a list of numbers. Received: 'young'\n",
        ),
        (["--context", "{}", "--items", ","], "error: candidates must be 1 to 10,000. Received: 0\n"),
        (["--context", "{}", "--items", "@/nowhere"], "error: No such file or directory: /nowhere\n"),
        (["--context", "{}", "--items", "a", "--model", "nobody"], "error: the model server must have the model. "),
        (["--context", "{}", "--items", "a", "--version", "1", "--label", "x"], "error: `version` or `label` can "),
    ],
)
def test_a_mistake_is_one_sentence(client: list[str], arguments: list[str], problem: str) -> None:
    run = wdr("rank", *client, *arguments)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith(problem)
    assert run.stderr.count("\n") == 1


@pytest.mark.slow
def test_load_test_prints_and_plots(client: list[str], requests: str, tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    options = ["--requests", requests, "--candidates", "10", "--rate", "20", "--seconds", "1", "--plot", str(plot)]
    run = wdr("load-test", *client, *options)
    assert run.returncode == 0, run.stderr
    assert "20 requests/s for " in run.stdout
    assert "p99.9" in run.stdout
    assert "<svg" in plot.read_text()


@pytest.mark.slow
def test_load_test_searches_the_rate(client: list[str], requests: str) -> None:
    options = ["--requests", requests, "--rate", "20", "--seconds", "0.3", "--p99-ms", "0.001", "--json"]
    run = wdr("load-test", *client, *options)
    assert run.returncode == 1
    assert [report["requests_per_second"] for report in json.loads(run.stdout)] == [20]
    assert run.stderr == (
        "error: p99 must be at most 0.001 ms at the first rate. Received: it is not at 20 requests/s\n"
    )


def test_tune_client_writes_settings_that_the_others_read(client: list[str], requests: str, tmp_path: Path) -> None:
    out = tmp_path / "tuned.json"
    options = ["--requests", requests, "--candidates", "20", "--sizes", "10,5", "--repetitions", "3", "--out", str(out)]
    run = wdr("tune-client", *client, *options)
    assert run.returncode == 0, run.stderr
    ways = ["one call", "parts of 5", "parts of 10", "chosen"]
    assert [line.split(":")[0] for line in run.stdout.splitlines()] == ways
    settings = read_settings(str(out))
    assert settings.part_size in (None, 5, 10)
    assert settings.model == "tiny"


def test_rank_explains(client: list[str]) -> None:
    """The table's numbers: the base is the version, 1; the age's attribution is 0.3 without the gap."""
    run = wdr("rank", *client, "--context", '{"age": 30}', "--items", "app_2,app_1", "-k1", "--explain")
    assert run.returncode == 0, run.stderr
    rows = [line.strip("│").split("│") for line in run.stdout.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows[1:]] == [
        ["base", "bias and the deep part's baseline", "", "+1.000000"],
        ["wide", "quality", "0.74", "+0.740000"],
        ["deep", "age", "30", "+0.237500"],
        ["deep", "gap of the integration", "", "+0.062500"],
        ["", "the score's logit", "", "+2.040000"],
    ]
    assert f"app_2: score {score(0.74, 30):.6f}, base rate 0.731059" in run.stdout
