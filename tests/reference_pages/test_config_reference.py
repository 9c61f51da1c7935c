"""The documents match the program: all keys, valid examples, and exactly the existing commands."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import click
import pytest

from components.ingestion.spans import resolve_span
from pipeline.check.rows import check_files, check_rows
from pipeline.cli.main import cli
from pipeline.create import create_pipeline
from pipeline.nodes.settings import RunSettings
from pipeline.workspace import Workspace
from tests.reference_pages.config_keys import PAGE, to_markdown
from tests.reference_pages.markers import rewritten
from tests.reference_pages.tutorial_configs import TUTORIAL, yaml_examples
from transform import combinations, derived_times, feature
from transform.config import beam as beam_settings
from transform.config import drift as drift_settings
from transform.config import evaluation as evaluation_settings
from transform.config import infra_validation as infra_settings
from transform.config import quality as quality_settings
from transform.config import schedule as schedule_settings
from transform.config import settings, sources
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.config.evaluation import kind_of

ROOT = Path(__file__).parents[2]
TEXT = PAGE.read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")

#: The pages of the documentation, from the root.
PAGES = [path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]

#: The place of each dataclass in a config; `Source` is only a base class.
PLACES: dict[type, str] = {
    sources.Sources: "`sources`",
    sources.Impressions: "`sources.impressions`",
    sources.LabelRule: "`sources.impressions.label_rule`",
    sources.Installs: "`sources.installs`",
    sources.Table: "`sources.tables.NAME`",
    feature.Feature: "`features[]`",
    derived_times.Derive: "`features[].derive`",
    feature.Vocabulary: "`features[].vocabulary`",
    feature.AtServing: "`features[].at_serving`",
    combinations.Cross: "`crosses[]`",
    combinations.CountEncoding: "`count_encodings[]`",
    settings.Ingestion: "`ingestion`",
    settings.Model: "`model`",
    settings.Training: "`training`",
    settings.Ftrl: "`training.wide_optimizer`",
    settings.DeepOptimizer: "`training.deep_optimizer`",
    settings.Tuning: "`tuning`",
    settings.Range: "`tuning.ranges.NAME`",
    evaluation_settings.Evaluation: "`evaluation`",
    evaluation_settings.Threshold: "`evaluation.thresholds.NAME`",
    evaluation_settings.SliceThreshold: "`evaluation.slice_thresholds.NAME`",
    quality_settings.Quality: "`quality`",
    infra_settings.InfraValidation: "`infra_validation`",
    infra_settings.Skew: "`skew`",
    drift_settings.Drift: "`drift`",
    settings.Push: "`push`",
    beam_settings.Beam: "`beam`",
    schedule_settings.Schedule: "`schedule`",
    schedule_settings.Pod: "`schedule.pods.NAME`",
}

#: The headings of the keys of a text source, one for each kind of source.
TEXT_PLACES = [f"`sources.{source}.text`" for source in ("impressions", "installs", "tables.NAME")]

#: The tutorial's numbered steps: the text of each, with example files and the config that reads them.
STEPS = re.split(r"^## (?=\d\. )", TUTORIAL, flags=re.MULTILINE)[1:5]


def tables() -> dict[str, dict[str, list[str]]]:
    """Returns the tables by heading; for each row, its cells by the first cell."""
    found: dict[str, dict[str, list[str]]] = {}
    for part in TEXT.split("### ")[1:]:
        heading, _, body = part.partition("\n")
        lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in body.splitlines() if line.startswith("| `")]
        found[heading] = {line[0].strip(" `"): [cell.strip() for cell in line[1:]] for line in lines}
    return found


def test_the_page_is_what_the_generator_writes() -> None:
    assert rewritten(TEXT, to_markdown()) == TEXT, "run `python -m tests.reference_pages --write`"


def test_the_places_are_all_dataclasses_of_a_config() -> None:
    declared = {
        thing
        for module in (
            settings,
            beam_settings,
            drift_settings,
            evaluation_settings,
            infra_settings,
            quality_settings,
            schedule_settings,
            sources,
            feature,
            combinations,
            derived_times,
        )
        for _, thing in inspect.getmembers(module, dataclasses.is_dataclass)
        if thing.__module__ == module.__name__
    }
    assert declared - {sources.Source, sources.DelimitedText} == set(PLACES)


def test_every_field_is_in_its_table_and_nothing_else_is() -> None:
    expected = {place: {f.name for f in dataclasses.fields(cls)} for cls, place in PLACES.items()}
    expected |= {place: {f.name for f in dataclasses.fields(sources.DelimitedText)} for place in TEXT_PLACES}
    top = {f.name for f in dataclasses.fields(Config)} - {"spec"} | {"features", "crosses", "count_encodings"}
    assert {heading: set(rows) for heading, rows in tables().items()} == {**expected, "The top of the file": top}


def test_each_metric_is_in_a_page() -> None:
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    named = {kind_of(name) for name in re.findall(r"`([a-z_]+(?:@\w+)?)`", text)}
    assert evaluation_settings.HIGHER_IS_BETTER.keys() - named == set()


@pytest.mark.parametrize("gate", ["data_validation", "quality_gate"])
def test_each_rule_that_a_gate_names_is_a_key_in_the_page(gate: str) -> None:
    sections = "|".join(heading.strip("`") for heading in tables() if re.fullmatch(r"`\w+`", heading))
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "components" / gate).rglob("*.py"))
    rules = re.findall(rf'"({sections})\.(\w+)"', code)
    assert [f"{section}.{key}" for section, key in rules if key not in tables()[f"`{section}`"]] == []


def test_every_key_has_allowed_values_a_default_and_a_meaning() -> None:
    empty = [(heading, key) for heading, rows in tables().items() for key, cells in rows.items() if not all(cells)]
    assert empty == []


@pytest.mark.parametrize(
    ("heading", "key", "cells"),
    [
        ("`training`", "shuffle_buffer_size", ["a whole number, at least 1", "`100000`"]),
        ("`training`", "batch_size", ["a whole number, at least 1", "`null`"]),
        ("`features[]`", "side", ["`context`, `item`", "**required**"]),
        ("`features[]`", "num_quantiles", ["a whole number, at least 2 and at most 10,000", "`null`"]),
        ("`ingestion`", "eval_fraction", ["a number, above 0 and below 1", "`0.2`"]),
        ("`sources`", "tables", ["a mapping; a key: a name; a value: a mapping of keys", "`{}`"]),
        (
            "`sources.impressions`",
            "null_values",
            [
                "a list; an entry: a text",
                '`[""]`',
                'Texts that mean "no value", beside the empty text; in a number\'s column, numbers that do.',
            ],
        ),
        ("`sources.impressions`", "list_separator", ["one character", '`"\\|"`']),
        ("`model`", "activation", ["`relu`, `elu`, `selu`, `gelu`, `swish`, `tanh`", '`"relu"`']),
        ("`evaluation`", "thresholds", [
            "a mapping; a key: a name; a value: a mapping of keys", "**required**"
        ]),
    ],
)  # fmt: skip
def test_a_row_says_what_the_dataclass_says(heading: str, key: str, cells: list[str]) -> None:
    assert tables()[heading][key][: len(cells)] == cells


def test_every_yaml_example_is_a_valid_config() -> None:
    names = [parse_config(raw, PAGE.name).name for raw in yaml_examples()]
    assert names == ["my_store"] * 4


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_files_of_a_step_pass_the_check(number: int, tmp_path: Path) -> None:
    for step in STEPS[:number]:  # a later step also uses the files of earlier ones
        for name, text in re.findall(r"`(\w+\.csv)`:\n\n```csv\n(.*?)```", step, re.DOTALL):
            (tmp_path / name).write_text(text, encoding="utf-8")
    config = parse_config(yaml_examples()[number - 1], PAGE.name)
    found = resolve_span(config, str(tmp_path))
    check_files(config, found)
    reports = {report.name: (report.num_rows, report.rejected) for report in check_rows(config, found, max_rows=100)}
    rows = {"impressions": 4, "catalog": 3, "users": 2, "installs": 2}
    sources = ["impressions", *config.sources.tables, *(["installs"] if config.sources.installs else [])]
    assert reports == {name: (rows[name], {}) for name in sources}


def commands(group: click.Group, before: str = "") -> set[str]:
    """Returns the full names of all commands below a group."""
    found: set[str] = set()
    for name, command in group.commands.items():
        found |= commands(command, f"{before}{name} ") if isinstance(command, click.Group) else {before + name}
    return found


def named_commands(text: str) -> set[str]:
    """The commands of `wdr` that a text names."""
    groups = [name for name, command in cli.commands.items() if isinstance(command, click.Group)]
    return set(re.findall(rf"\bwdr ((?:{'|'.join(groups)}) [a-z][a-z-]*|[a-z][a-z-]*)", text))


def test_the_page_of_commands_has_every_command_of_wdr_and_no_other() -> None:
    assert named_commands(COMMANDS) == commands(cli)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *sorted(p.as_posix() for p in PAGES)])
def test_a_page_names_no_command_that_there_is_not(page: str) -> None:
    groups = {name for name, command in cli.commands.items() if isinstance(command, click.Group)}
    assert named_commands((ROOT / page).read_text(encoding="utf-8")) - commands(cli) - groups == set()


def test_the_architecture_draws_every_component(tmp_path: Path) -> None:
    config = parse_config(yaml_examples()[0], PAGE.name)
    pipeline = create_pipeline(config, RunSettings(str(tmp_path), Workspace.at(tmp_path / "workspace")))
    (picture,) = re.findall(r"```mermaid\n(.*?)```", ARCHITECTURE, re.DOTALL)
    drawn = set(re.findall(r"\w+", re.sub(r'"[^"]*"', "", picture)))
    assert {component.id for component in pipeline.components} - drawn == set()


def test_readme_starts_with_make_run_and_make_test() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]
    assert lines[:2] == ["make run", "make test"]
