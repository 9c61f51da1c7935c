"""The command line of `wdr try`."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from components.evaluation.results import Estimate
from pipeline.cli.main import cli
from pipeline.cli.trying import verdicts
from pipeline.trial.trial import Trained


def trained(**changes: tuple[float, float]) -> Trained:
    return Trained({}, {metric: Estimate(*change) for metric, change in changes.items()}, 1, 1, 0.0, 0.0)


def test_a_verdict_names_the_metrics_that_differ_beyond_chance() -> None:
    found = {
        "a.yaml": trained(),
        "b.yaml": trained(auc=(0.01, 0.001), logloss=(0.01, 0.001), calibration=(0.5, 0.001)),
        "c.yaml": trained(auc=(0.01, 0.1), logloss=(-0.01, 0.001), calibration=(0.5, 0.001)),
        "d.yaml": trained(auc=(-0.01, 0.1), logloss=(-0.01, 0.1), calibration=(0.5, 0.001)),
    }
    assert verdicts(found, "a.yaml") == [
        "b.yaml: better AUC, worse log loss (against a.yaml)",
        "c.yaml: better log loss (against a.yaml)",
        "d.yaml: no difference beyond chance (against a.yaml)",
    ]


def test_suggestions_are_of_one_config(tmp_path: Path) -> None:
    arguments = ["try", "a.yaml", "b.yaml", "--suggest", "--data", str(tmp_path)]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert isinstance(done.exception, click.UsageError)
    assert done.exception.message == "`--suggest` changes one config. Received: a.yaml, b.yaml"


@pytest.mark.parametrize("more", [[], ["a.yaml"], ["--against", "a.yaml"]])
def test_one_config_alone_is_refused(tmp_path: Path, more: list[str]) -> None:
    done = CliRunner().invoke(cli, ["try", "a.yaml", "--data", str(tmp_path), *more], standalone_mode=False)
    assert isinstance(done.exception, click.UsageError)
    assert done.exception.message == "there must be two configs to compare. Received: a.yaml"
