"""The ladder of example configs: each is valid for simulated data, and adds one idea to the one before it."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli.main import cli
from tests.command_lines import check_call
from transform.config.config import Config
from transform.config.config_file import load_config
from transform.ranking import absent_signatures, item_tables

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "configs" / "examples").glob("*.yaml"))
PAGE = ROOT / "docs" / "tutorials" / "examples.md"

#: The keys that differ from the example before, beside `name`, in the config as it is read.
ADDED = {
    "2_catalog": {"spec.features[3]", "spec.features[4]", "sources.tables.catalog"},
    "3_installs": {"sources.impressions.label", "sources.impressions.timestamp", "sources.installs"},
    "4_spans": {
        "sources.impressions.path",
        "sources.installs.path",
        "sources.tables.catalog.path",
        "ingestion.window_spans",
        "evaluation.thresholds.auc.max_worsening",
    },
    "5_tuning": {"tuning"},
    "6_airflow": {"schedule.timezone", "schedule.wait_seconds", "schedule.retries"},
}


def commands(file: Path) -> list[list[str]]:
    """The commands in the comment at the top of an example."""
    head = file.read_text(encoding="utf-8").partition("\nname:")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    return [shlex.split(line) for line in re.findall(r"^#   (.+)$", head, re.MULTILINE)]


def differing(before: Any, after: Any, place: str = "") -> set[str]:
    """The places in which two values of JSON differ; where only one of them has a mapping or a list, its place."""
    if isinstance(before, dict) and isinstance(after, dict):
        return set().union(
            *(
                differing(before.get(key), after.get(key), f"{place}.{key}" if place else key)
                for key in before.keys() | after.keys()
            )
        )
    if isinstance(before, list) and isinstance(after, list):
        pairs = ((i, before[i : i + 1], after[i : i + 1]) for i in range(max(len(before), len(after))))
        return {f"{place}[{i}]" for i, one, other in pairs if one != other}
    return set() if before == after else {place}


def as_json(config: Config) -> Any:
    return json.loads(config.to_json())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the first example's first command has written a store, of fewer impressions a day."""
    folder = tmp_path_factory.mktemp("examples")
    words = commands(FILES[0])[0]
    assert words[:2] == ["wdr", "simulate"]
    smaller = {"--out": str(folder), "--impressions-per-day": "1000"}
    words = [smaller.get(before, word) for before, word in itertools.pairwise(words)]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder


def test_the_examples_are_numbered_and_named_by_their_ideas() -> None:
    assert [file.stem for file in FILES] == ["1_minimal_csv", *ADDED]
    assert [load_config(file).name for file in FILES] == [file.stem[2:] for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_passes_its_check(file: Path, store: Path) -> None:
    checks = [words[2:] for words in commands(file) if words[:2] == ["wdr", "check"]]
    assert [words[:3] for words in checks] == [[f"configs/examples/{file.name}", "--data", "runs/examples/data"]]
    options = checks[0][3:]
    done = CliRunner().invoke(cli, ["check", str(file), "--data", str(store), *options], catch_exceptions=False)
    assert done.exit_code == 0
    span = int(options[1]) if options else 0
    sources = len(load_config(file).sources.tables) + (load_config(file).sources.installs is not None)
    # The store has fewer impressions than the example's own, so fewer steps and rows of a label; the last release had
    # other defaults.
    of_rows = ("training: ", "defaults: ", "labels: ", "splits: ")
    lines = [line for line in done.output.splitlines() if not line.startswith(of_rows)]
    assert lines[0] == f"{file} is valid; span {span}"
    assert lines[1] == "impressions: 1 files, the first 1,000 rows read, all good"
    assert len(lines) == 2 + sources
    assert all(line.endswith(" rows read, all good") for line in lines[1:])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_commands_of_an_example_are_valid_and_name_its_file(file: Path) -> None:
    for words in commands(file):
        assert words[0] == "wdr"
        check_call(words[1:])
    configs = {word for words in commands(file) for word in words if word.endswith(".yaml")}
    assert configs == {f"configs/examples/{file.name}"}


@pytest.mark.parametrize(("before", "after"), itertools.pairwise(FILES), ids=lambda file: file.stem)
def test_an_example_differs_from_the_one_before_by_one_idea(before: Path, after: Path) -> None:
    assert differing(as_json(load_config(before)), as_json(load_config(after))) == {"name", *ADDED[after.stem]}
    assert f"New beside {before.name}: " in after.read_text(encoding="utf-8")


def test_the_minimal_example_has_one_log_and_three_features() -> None:
    raw = yaml.safe_load(FILES[0].read_text(encoding="utf-8"))
    assert list(raw) == ["name", "sources", "features", "training", "evaluation"]
    assert list(raw["sources"]) == ["impressions"]
    assert len(raw["features"]) == 3


def test_the_catalog_s_example_ranks_by_item_ids() -> None:
    config = load_config(FILES[1])
    assert absent_signatures(config) == {}
    assert item_tables(config) == {"catalog": "app_id"}


def test_the_page_lists_every_example() -> None:
    listed = re.findall(r"\]\(\.\./\.\./configs/examples/([\w.]+)\)", PAGE.read_text(encoding="utf-8"))
    assert listed == [file.name for file in FILES]
