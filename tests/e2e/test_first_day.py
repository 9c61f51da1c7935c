"""The product from a user's view: one day of logs becomes a pushed model that scores raw rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.model_store.versions import checksums
from tests.e2e import store
from tests.e2e.bad_store import ok_in_process
from transform.files.version_layout import EXTRA_ASSETS, MANIFEST_FILE, WARMUP_FILE

NUM_ROWS = 1000


def test_a_run_pushes_a_version_and_says_so(first_day: tuple[Path, str], data: Path) -> None:
    workspace, output = first_day
    assert store.versions(workspace) == [1]
    ended = store.nodes(output)
    assert next(iter(ended)) == "example_gen"
    assert list(ended)[-1] == "push"
    assert "taken from the cache" not in ended.values()
    assert "trainer: step" in output  # the training's progress, as plain lines
    report = store.last_report(workspace)
    assert report["version"] == 1
    assert report["baseline"] == {}
    assert list(report["references"]) == ["constant", "item_mean", "logistic_regression", "gradient_boosting"]
    assert report["training"]["references_left_out"] == {"user_item_bias": "the config names no id of the user"}
    counts = report["counts"]
    rows = sum(1 for _ in (data / "impressions" / "day-1" / "part-00000.csv").open()) - 1
    examples = sum(number for by_label in counts["labels"].values() for number in by_label.values())
    assert counts["read"]["impressions"] == rows == 4000
    # The last hour's impressions, whose labels are not known yet, are neither trained on nor evaluated.
    left_out = counts["unknown_labels"]
    assert examples == 4000 - left_out
    assert 50 < left_out < 400
    for text in (
        "4,000 read, 0 rejected",
        f"{left_out} impressions, the last ones, whose labels are not known yet",
        "app_id",
        "cold",
        "no baseline",
        "yes, as version 1",
        str(workspace),
    ):
        assert text in output
    training = report["training"]
    assert f"are {round(2 * training['num_examples'] / 128)} steps, in which little is learned" in " ".join(
        output.split()
    )
    settings = training["settings"]["training"]
    assert (settings["batch_size"], settings["validation_fraction"]) == (128, 0.0)


def test_the_log_has_the_chatter_and_the_terminal_has_not(first_day: tuple[Path, str]) -> None:
    workspace, output = first_day
    (log,) = (workspace / "logs").iterdir()
    assert str(log) in output
    assert log.stat().st_size > 0
    # The window has two days.
    assert "the logs of span 0 are not read: there are no impressions for span 0" in log.read_text()
    assert "oneDNN" not in output


def test_the_pushed_folder_is_whole(first_day: tuple[Path, str]) -> None:
    version = first_day[0] / "serving" / store.NAME / "1"
    manifest = json.loads((version / EXTRA_ASSETS / MANIFEST_FILE).read_text())
    assert manifest["version"] == 1
    assert manifest["spans"] == [1]
    assert manifest["sha256"] == checksums(str(version))
    warm_up = f"{EXTRA_ASSETS}/{WARMUP_FILE}"
    assert {"saved_model.pb", "variables/variables.index", warm_up} <= set(manifest["sha256"])
    assert sorted(p.name for p in version.parent.iterdir()) == [".manifests", "1"]  # no half-copied folder remains


def test_training_meets_installs_all_along(first_day: tuple[Path, str]) -> None:
    """The join with the install log groups the installs; a training in that order would end with negatives only."""
    examples = first_day[0] / "artifacts" / "transform" / "transformed_examples"
    labels = [
        tf.train.Example.FromString(record).features.feature["label"].int64_list.value[0]
        for file in sorted(examples.glob("*/Split-train/*.gz"))
        for record in tf.data.TFRecordDataset(str(file), "GZIP").as_numpy_iterator()
    ]
    quarter, share = len(labels) // 4, sum(labels) / len(labels)
    for start in range(0, 4 * quarter, quarter):
        installed = sum(labels[start : start + quarter])
        assert abs(installed - quarter * share) < 4 * (quarter * share) ** 0.5  # four standard deviations


@pytest.fixture(scope="module")
def raw_rows(data: Path) -> list[dict[str, str]]:
    """1,000 unlabelled rows with the user's columns; one app was never seen, two values are missing."""
    users = {row["user_id"]: row for row in _read(data / "users" / "day-1" / "part-00000.csv")}
    rows = [
        {"app_id": row["app_id"], "installed_apps": users[row["user_id"]]["installed_apps"]}
        | {"country": users[row["user_id"]]["country"], "note": 'kept, "as it is"'}
        for row in _read(data / "impressions" / "day-1" / "part-00000.csv")[:NUM_ROWS]
    ]
    rows[3]["app_id"] = "com.store.never_seen"
    rows[5]["country"] = ""
    rows[7]["installed_apps"] = ""
    return rows


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _example(row: dict[str, str], ratings: dict[str, str]) -> bytes:
    """The row's tf.Example, built by the test and not by the product."""
    example = tf.train.Example()
    features = example.features.feature
    features["app_id"].bytes_list.value.append(row["app_id"].encode())
    if row["country"]:
        features["country"].bytes_list.value.append(row["country"].encode())
    if row["installed_apps"]:
        features["installed_apps"].bytes_list.value.extend(a.encode() for a in row["installed_apps"].split("|"))
    if ratings.get(row["app_id"]):
        features["rating"].float_list.value.append(float(ratings[row["app_id"]]))
    serialized: bytes = example.SerializeToString()
    return serialized


@pytest.mark.slow
@pytest.mark.parametrize(
    "columns", [["note", "installed_apps", "country", "app_id"], ["app_id", "country", "installed_apps"]]
)
def test_score_gives_what_the_saved_model_gives(
    first_day: tuple[Path, str], data: Path, raw_rows: list[dict[str, str]], columns: list[str], tmp_path: Path
) -> None:
    model = first_day[0] / "serving" / store.NAME / "1"
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(raw_rows)
    output = ok_in_process("score", "--model", model, "--input", tmp_path / "in.csv", "--output", tmp_path / "out.csv")
    assert f"{NUM_ROWS:,} rows scored" in output
    scored = _read(tmp_path / "out.csv")
    assert [{c: row[c] for c in columns} for row in scored] == [{c: row[c] for c in columns} for row in raw_rows]

    ratings = {row["app_id"]: row["rating"] for row in _read(data / "catalog" / "day-1" / "part-00000.csv")}
    signature: Any = tf.saved_model.load(str(model)).signatures["serving_default"]
    (expected,) = signature(tf.constant([_example(row, ratings) for row in raw_rows])).values()
    received = np.array([float(row["score"]) for row in scored])
    assert received.std() > 0
    np.testing.assert_allclose(received, expected.numpy(), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_score_names_what_is_missing(first_day: tuple[Path, str], tmp_path: Path) -> None:
    model = first_day[0] / "serving" / store.NAME / "1"
    (tmp_path / "in.csv").write_text("app_id,installed_apps\na,b\n")
    done = store.wdr("score", "--model", model, "--input", tmp_path / "in.csv", "--output", tmp_path / "out.csv")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(
        "error: the columns ['country'] are missing; they can be had by `user_id` from the table"
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.csv").exists()


def test_models_list_shows_the_version(first_day: tuple[Path, str]) -> None:
    output = ok_in_process("models", "list", "--workspace", first_day[0])
    assert output.split()[:8] == ["model", "version", "spans", "serves", "pinned", "pushed", "note", "where"]
    place = first_day[0] / "serving" / store.NAME / "1"
    (line,) = [line.split() for line in output.splitlines()[1:]]
    assert [*line[:4], line[-1]] == [store.NAME, "1", "1", "yes", str(place)]


@pytest.mark.slow
def test_models_show_walks_back_to_the_log_files_and_their_rows(first_day: tuple[Path, str], data: Path) -> None:
    lines = ok_in_process("models", "show", "--workspace", first_day[0]).splitlines()
    shown = [" ".join(line.split()) for line in lines]
    logs = shown.index("impressions 4,000 rows read, 0 rejected")
    assert shown[logs + 1] == str(data / "impressions" / "day-1" / "part-00000.csv")
    for name in ("catalog", "users"):
        (path,) = (data / name / "day-1").iterdir()
        rows = sum(1 for _ in path.open()) - 1
        assert shown[shown.index(f"{name} {rows:,} rows read, 0 rejected") + 1] == str(path)
    assert "held against none served yet" in shown
    auc = store.last_report(first_day[0])["metrics"]["auc"]
    assert f"auc {auc:.6g}" in shown
