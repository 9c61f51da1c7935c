"""An earlier release's workspace continues: its versions, skipped spans and the users' decisions remain valid.

The next day has a feature under a new name. The workspace's records, vocabularies and models have the old one.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import yaml
from sklearn.metrics import roc_auc_score

from components.model_store.manifest import read_manifest
from components.model_store.versions import verify
from tests.e2e import earlier_workspace, store
from tests.e2e.bad_store import ok_in_process
from transform.stateful_vocabulary import Seen, read_vocabulary_state

pytestmark = pytest.mark.slow

ARCHIVE = store.ROOT / "tests" / "e2e" / "workspace-of-0.2.tar.xz"


def scores(path: Path) -> list[float]:
    with path.open(newline="") as file:
        return [float(row["score"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    earlier_workspace.restore(ARCHIVE, folder)
    return folder


@pytest.mark.parametrize("version", [1, 2, 4])
def test_an_earlier_version_scores_as_it_did(folder: Path, tmp_path: Path, version: int) -> None:
    out = tmp_path / "scores.csv"
    earlier_workspace.score(folder / "workspace", version, folder / "data", folder / "data" / "rows.csv", out)
    expected = scores(folder / "expected" / f"version-{version}.csv")
    assert len(expected) == earlier_workspace.NUM_SCORED
    assert scores(out) == pytest.approx(expected, abs=1e-6)


def renamed(config: Path) -> dict[str, Any]:
    """The sections of the config, in which the feature `country` is called `land`."""
    sections: dict[str, Any] = yaml.safe_load(config.read_text())
    country = next(feature for feature in sections["features"] if feature["name"] == "country")
    country.update(name="land", column="country", renamed_from="country")
    assert sections["count_encodings"] == [{"features": ["country", "app_id"]}]
    sections["count_encodings"] = [{"features": ["land", "app_id"]}]
    return sections


def newest(workspace: Path, node: str, output: str) -> Path:
    return max((workspace / "artifacts" / node / output).iterdir(), key=lambda path: int(path.name))


def memory(workspace: Path) -> Mapping[str, Mapping[bytes, Seen]]:
    """The last run's memory of tokens, by vocabulary."""
    return read_vocabulary_state(str(newest(workspace, "transform", "updated_memory"))).vocabularies


def auc_on_newest_examples(workspace: Path, version: int) -> float:
    """A version's AUC on the newest evaluation examples, which have `country` under both names."""
    files = sorted(map(str, newest(workspace, "example_gen", "examples").glob("Split-eval/*")))
    examples = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
    features = [tf.train.Example.FromString(example).features.feature for example in examples]
    assert all(f["land"] == f["country"] for f in features)
    assert any(f["land"].bytes_list.value for f in features)
    serve = tf.saved_model.load(str(workspace / "serving" / store.NAME / str(version))).signatures["serving_default"]
    scores = serve(examples=tf.constant(examples))["scores"].numpy()
    return float(roc_auc_score(np.array([f["label"].int64_list.value[0] for f in features]), scores))


def test_the_next_day_builds_on_it_and_an_earlier_version_can_serve_again(folder: Path) -> None:
    workspace = folder / "workspace"
    serving = workspace / "serving" / store.NAME
    assert [path.name for path in (workspace / "checkpoints").iterdir()] != []
    config = folder / "three_spans.yaml"
    sections = renamed(folder / "config.yaml")
    sections["ingestion"]["window_spans"] = 3
    config.write_text(yaml.safe_dump(sections))
    output = ok_in_process(*store.run_arguments(folder / "data", workspace, 5, config))
    assert "yes, as version 5" in output

    report = store.last_report(workspace)
    assert report["held_against"] == "version 4, trained to span 4"  # found in ML Metadata, and compared
    assert report["baseline"]["auc"] == pytest.approx(auc_on_newest_examples(workspace, 4), abs=1e-6)
    progress = report["progress"]
    assert (progress["span"], progress["trained_to"]) == (5, 4)
    assert progress["measured"]["metrics"]["auc"] == pytest.approx(report["baseline"]["auc"], abs=1e-6)
    assert report["spans"] == [5, 4]  # of the window of 3, 4 and 5: a gate on data stopped 3
    assert report["training"]["warm_started_from"].startswith(str(read_manifest(str(serving / "4")).model_uri))
    # The records of earlier spans, which have the old name, stop nothing, and the other features are judged by them.
    found = {finding["subject"]: finding for finding in report["data_findings"]}
    assert {finding["severity"] for finding in found.values()} == {"cannot_judge"}
    unknown = (
        "land cannot be judged, neither its values nor how well it predicts the label: no earlier span has the feature"
    )
    assert found["land"]["sentence"] == unknown
    assert found.keys() & {"installed_apps", "app_id", "rating", "baseline", "auc of the baseline"} == set()
    # The memory of the old name ends; tokens of other features that only the first two spans had are remembered.
    last_spans = {name: {seen.last_span for seen in tokens.values()} for name, tokens in memory(workspace).items()}
    assert "country" not in last_spans
    assert {5} <= last_spans["land"] <= {4, 5}
    assert {1, 2, 5} <= last_spans["app_id"]
    history = ok_in_process("models", "history", "--workspace", workspace)
    measured = {tuple(line.split()[:2]) for line in history.splitlines()[2:]}  # the span, and the last one trained on
    assert {("2", "1"), ("5", "4")} <= measured
    assert "3" not in {span for span, _ in measured}
    listed = ok_in_process("models", "list", "--workspace", workspace)
    assert "shown to the press" in listed
    assert "the threshold is a typing error" in listed
    ok_in_process("models", "rollback", "--workspace", workspace, "--to", "1", "--reason", "as it was")
    assert verify(str(serving / "6")) == verify(str(serving / "1"))
    assert store.versions(workspace) == [1, 2, 3, 4, 5, 6]
