"""The sentence of `wdr check` and `wdr run` on keys whose defaults changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.check.defaults import changed_defaults, has_current_defaults
from pipeline.cli.main import cli
from pipeline.workspace import Workspace
from tests.transform.small_config import FILE, changed, small_config
from transform.config.config_file import parse_config

#: Every key that has another default, with its old value.
OLD: dict[str, Any] = {
    "model.hidden_units": [1024, 512, 256],
    "model.dropout": 0.0,
    "training.batch_size": 512,
    "training.num_epochs": 1,
    "training.patience": 0,
    "training.validation_fraction": 0.0,
    "training.monitor": "auc",
    "training.wide_optimizer.learning_rate": 0.05,
    "training.wide_optimizer.initial_accumulator": 0.1,
    "training.deep_optimizer.name": "adagrad",
    "training.deep_optimizer.learning_rate": 0.05,
    "evaluation.max_miscalibration": None,
}

DROPOUT_TUNED = {"tuning": {"ranges": {"model.dropout": {"min": 0, "max": 0.5}}}}


def named(changes: dict[str, Any]) -> list[str]:
    """The keys that are named where a config has some settings."""
    raw = changed(*changes.items())
    sentences = changed_defaults(parse_config(raw, FILE), raw)
    return [part.split(" ")[0] for sentence in sentences for part in sentence.split(": ", 1)[1].split("; ")]


def without(*places: str) -> dict[str, Any]:
    return {place: value for place, value in OLD.items() if place not in places}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, list(OLD)),
        (OLD, []),
        (without("model.dropout"), ["model.dropout"]),
        (without("training.num_epochs"), ["training.num_epochs"]),
        # The rate of AdaGrad is what it was.
        (without("training.deep_optimizer.learning_rate"), []),
        (
            without("training.deep_optimizer.learning_rate", "training.deep_optimizer.name"),
            ["training.deep_optimizer.name", "training.deep_optimizer.learning_rate"],
        ),
        # The Tuner chooses it.
        (without("model.dropout") | DROPOUT_TUNED, []),
        # With one epoch nothing is held out.
        (without("training.patience", "training.validation_fraction"), []),
        # It is not read where all epochs are trained, unless the Tuner compares its trials by it.
        (without("training.monitor"), []),
        (without("training.monitor") | {"training.patience": 2}, []),
        (without("training.monitor") | {"training.patience": 2, "training.num_epochs": 5}, ["training.monitor"]),
        (without("training.monitor") | DROPOUT_TUNED, ["training.monitor"]),
        (
            without("training.validation_fraction") | {"training.num_epochs": 4, "training.patience": None},
            ["training.patience", "training.validation_fraction"],
        ),
    ],
)
def test_each_key_that_is_left_out_and_means_something_else_is_named(
    changes: dict[str, Any], expected: list[str]
) -> None:
    assert named(changes) == expected


def test_the_sentence_has_both_values() -> None:
    raw = changed(*without("model.dropout", "training.batch_size").items())
    assert changed_defaults(parse_config(raw, FILE), raw) == [
        "keys that the config leaves out mean something else than in 0.2.0; to keep its values, write them: "
        "model.dropout 0.0, now 0.2; training.batch_size 512, now by a rule: the power of two from 64 to "
        "1,024 with which an epoch has 75 to 150 steps"
    ]


@pytest.mark.parametrize(
    ("json", "is_current"), [('{"schema_version": 2}', True), ("{}", False), ("{", False), (None, False)]
)
def test_a_run_names_them_until_a_version_has_the_defaults(tmp_path: Path, json: str | None, is_current: bool) -> None:
    workspace = Workspace.at(str(tmp_path))
    if json is not None:
        extra = workspace.serving("small") / "3" / "assets.extra"
        extra.mkdir(parents=True)
        (extra / "config.json").write_text(json, encoding="utf-8")
    assert has_current_defaults(small_config(), workspace) == is_current


def test_the_command_names_them_and_prints_the_effective_config(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    raw = changed(*without("model.dropout", "training.deep_optimizer.learning_rate").items(), ("crosses", []))
    raw["features"] = raw["features"][:1]
    raw["sources"].pop("tables")
    config.write_text(yaml.safe_dump(raw), encoding="utf-8")
    (tmp_path / "log.csv").write_text("clicked,request,app\n1,r,a\n0,r,b\n", encoding="utf-8")
    printed = CliRunner().invoke(cli, ["check", str(config), "--data", str(tmp_path)], catch_exceptions=False).output
    assert "defaults: keys that the config leaves out mean something else than in 0.2.0" in printed
    assert printed.endswith("to keep its values, write them: model.dropout 0.0, now 0.2\n")
    effective = CliRunner().invoke(cli, ["check", str(config), "--effective"], catch_exceptions=False).output
    sections = yaml.safe_load(effective)
    assert (sections["model"]["dropout"], sections["training"]["deep_optimizer"]["learning_rate"]) == (0.2, 0.05)
    for options in ([], ["--effective", "--data", str(tmp_path)], ["--effective", "--json"]):
        assert CliRunner().invoke(cli, ["check", str(config), *options]).exit_code == 2


def test_a_run_warns_as_the_check_does(tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    adam = ("training.deep_optimizer", {"name": "adam", "learning_rate": 0.05})
    config.write_text(yaml.safe_dump(changed(adam)), encoding="utf-8")
    arguments = ["run", str(config), "--data", str(tmp_path), "--workspace", str(tmp_path / "workspace")]
    printed = CliRunner().invoke(cli, arguments).output
    assert "training: Adam with a rate of 0.05 hardly learns" in printed
    assert "defaults: keys that the config leaves out mean something else than in 0.2.0" in printed
