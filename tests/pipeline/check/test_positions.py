"""What `wdr check` says of a log with positions."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from components.ingestion.spans import resolve_span
from pipeline.check.features import doubtful_features
from pipeline.check.first_rows import ReadRows
from pipeline.check.positions import told_of_positions
from pipeline.cli.main import cli
from transform.config.config_file import parse_config


def write(folder: Path, share: float, says: str = "randomized", **log: Any) -> dict[str, Any]:
    """Writes 4,000 impressions at ten positions, with fewer labels further down, and returns their config."""
    rng = random.Random(1)
    lines = [f"request,app,country,position,{says},y"]
    for i in range(4000):
        position = i % 10 + 1
        drawn = rng.random() < share
        said: Any = str(drawn).lower() if says == "randomized" else 0.1 if drawn else 1
        lines.append(f"r{i // 10},a{rng.randrange(5)},de,{position},{said},{int(rng.random() < 0.5 / position)}")
    (folder / "log.csv").write_text("\n".join([*lines, ""]))
    position_rule = {"kind": "numeric", "boundaries": [2, 3, 10], "at_serving": {"fixed": 1}}
    return {
        "name": "small",
        "sources": {
            "impressions": {"path": "log.csv", "format": "csv", "label": "y", "request_id": "request", says: says} | log
        },
        "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        "features": [
            {"name": "country", "side": "context", "kind": "categorical", "vocabulary": {}},
            {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}},
            {"name": "position", "side": "item", **position_rule},
        ],
    }


@pytest.mark.parametrize("says", ["randomized", "propensity"])
def test_a_log_with_enough_chance(tmp_path: Path, says: str) -> None:
    config = parse_config(write(tmp_path, 0.9, says), "small.yaml")
    rows = ReadRows(config, resolve_span(config, str(tmp_path)), "impressions", 10_000)
    (sentence,) = told_of_positions(config, rows)
    assert sentence.startswith("`position`: 90 % of 4,000 impressions were placed by chance, about 3,6")
    assert "so that the effect of position 10 or more against below 2 has a standard error of 0.2" in sentence
    assert doubtful_features(config, rows) == []  # of another config, it is the place at which an item was shown


def test_a_log_without_chance_is_told_before_a_run(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(write(tmp_path, 0)))
    done = CliRunner().invoke(cli, ["check", str(tmp_path / "small.yaml"), "--data", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("positions: ")]
    assert line.startswith(
        "positions: a run would stop: `position`: none of 4,000 impressions was placed by chance, and only those tell"
    )
    assert line.endswith("were all of its impressions placed by chance")  # 400 at each end are too few for 0.1


def test_labels_that_are_not_in_the_log(tmp_path: Path) -> None:
    plain = write(tmp_path, 0.9)
    log = plain["sources"]["impressions"]
    del log["label"]
    log["timestamp"] = "time"
    plain["sources"]["installs"] = {"path": "installs.csv", "format": "csv", "keys": ["app"], "timestamp": "time"}
    lines = (tmp_path / "log.csv").read_text().splitlines()
    timed = [f"{lines[0]},time", *(f"{line},{1_700_000_000 + i}" for i, line in enumerate(lines[1:]))]
    (tmp_path / "log.csv").write_text("\n".join([*timed, ""]))
    (tmp_path / "installs.csv").write_text("app,time\na1,1700000001\n")
    config = parse_config(plain, "small.yaml")
    (sentence,) = told_of_positions(
        config, ReadRows(config, resolve_span(config, str(tmp_path)), "impressions", 10_000)
    )
    assert sentence.endswith("is known once they are joined with the installs, in a run")
    assert " of 4,000 impressions were placed by chance; " in sentence


def test_the_check_imports_neither_tensorflow_nor_beam() -> None:
    code = "import sys; sys.modules['tensorflow'] = sys.modules['apache_beam'] = None; import pipeline.check.positions"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
