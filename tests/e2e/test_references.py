"""A run says first that a simple model is as good, with the command that tries settings; and not where none is."""

from __future__ import annotations

import csv
import math
import random
import re
import shlex
from pathlib import Path

import pytest

from tests.e2e import store
from tests.e2e.bad_store import in_process, ok_in_process

pytestmark = pytest.mark.slow

_NUM_ROWS, _NUM_PERSONS, _NUM_FILMS = 12_000, 300, 10

_CONFIG = """
name: ratings
sources:
  impressions: {path: ratings.csv, format: csv, label: LABEL, item_id: film}
ingestion: {split_by: row_hash}
features:
  - {name: person, side: context, kind: categorical, vocabulary: {}}
  - {name: film, side: item, kind: categorical, vocabulary: {}}
crosses:
  - {features: [person, film], min_count: 1}
model: {embedding_dim: 8, hidden_units: [16]}
training: {num_epochs: 8, patience: 0, batch_size: 64}
evaluation:
  user: person
  thresholds: {auc: {min: 0.5}}
  max_miscalibration: null
infra_validation: {num_requests: 20, num_measurements: 10, max_latency_ms: 10000}
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ratings of 10 films by 300 persons, with two labels.

    `likes` is 1 with the chance sigmoid(person's bias + film's bias), which no model can know better than the biases.
    `match` is 1 with the chance 0.9 for a half of the pairs of person and film, and 0.1 for the other half: biases say
    little, and the trees read a person, of whom there are too many for categories, as the mean label.
    """
    rng = random.Random(1)
    persons, films = ([rng.gauss(0, 1.5) for _ in range(number)] for number in (_NUM_PERSONS, _NUM_FILMS))
    pairs = [[rng.random() < 0.5 for _ in films] for _ in persons]
    folder = tmp_path_factory.mktemp("ratings")
    with (folder / "ratings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "film", "likes", "match"])
        for _ in range(_NUM_ROWS):
            person, film = rng.randrange(_NUM_PERSONS), rng.randrange(_NUM_FILMS)
            chance = 1 / (1 + math.exp(-persons[person] - films[film]))
            match = rng.random() < (0.9 if pairs[person][film] else 0.1)
            writer.writerow([f"p{person}", f"f{film}", int(rng.random() < chance), int(match)])
    return folder


def config_of(label: str, folder: Path) -> Path:
    path = folder / f"{label}.yaml"
    path.write_text(_CONFIG.replace("LABEL", label))
    return path


def test_a_bias_model_that_is_as_good_is_the_verdicts_first_line(logs: Path, tmp_path: Path) -> None:
    config, workspace = config_of("likes", tmp_path), tmp_path / "workspace"
    printed = " ".join(ok_in_process("run", config, "--data", logs, "--workspace", workspace).split())
    found = re.search(
        r"verdict (?:not better|worse) than the user \+ item bias: auc (0\.\d{4}) against (0\.\d{4}), "
        r"difference ([+-]0\.\d{4}) "
        r"\(95 % interval ([+-]0\.\d{4}) to ([+-]0\.\d{4})\) `(wdr try .*? --suggest --data .*?)` tries what is most "
        r"likely to help: (.*?) pushed as version 1 ",
        printed,
    )
    assert found is not None, printed
    own, other, difference, low, high = (float(found[number]) for number in range(1, 6))
    assert difference == pytest.approx(own - other, abs=1.1e-4)
    assert low < difference < high
    assert low <= 0
    report = store.last_report(workspace)
    assert found[7] == "; ".join(report["suggestions"])
    references = report["references"]
    assert list(references) == ["constant", "item_mean", "user_item_bias", "logistic_regression", "gradient_boosting"]
    assert references["user_item_bias"]["metrics"]["auc"] == pytest.approx(other, abs=1e-4)
    assert report["training"]["references_left_out"] == {}
    assert report["training"]["references_seconds"] > 0
    card = next((workspace / "reports").glob("*.model_card.md")).read_text()
    assert "| user + item bias |" in card
    words = "worse" if high < 0 else "not better"
    assert f"The candidate model is {words} than the user + item bias: auc" in card

    assert shlex.split(found[6]) == ["wdr", "try", str(config), "--suggest", "--data", str(logs)]
    tried = in_process(*shlex.split(found[6])[1:])
    assert tried.returncode == 0, tried.stderr
    assert [line.partition(": ")[0] for line in tried.stdout.splitlines()[:3]] == [
        words.partition(": ")[0] for words in report["suggestions"]
    ]


def test_of_a_better_model_it_is_not_said(logs: Path, tmp_path: Path) -> None:
    config, workspace = config_of("match", tmp_path), tmp_path / "workspace"
    printed = " ".join(ok_in_process("run", config, "--data", logs, "--workspace", workspace).split())
    assert " verdict pushed as version 1 " in printed
    assert not re.search("(not better|worse) than", printed)
    assert "--suggest" not in printed
    assert store.last_report(workspace)["suggestions"] == []
