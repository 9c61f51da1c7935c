"""The second day is warm-started from the first, and done only once."""

from __future__ import annotations

import collections
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from components.model_store.versions import verify
from tests.e2e import store

pytestmark = pytest.mark.slow


def train_records(workspace: Path) -> list[list[bytes]]:
    """The training examples of every ingestion, oldest first."""
    ingestions = sorted((workspace / "artifacts" / "example_gen" / "examples").iterdir(), key=lambda p: int(p.name))
    return [
        list(tf.data.TFRecordDataset([str(p) for p in folder.glob("Split-train/*")], "GZIP").as_numpy_iterator())
        for folder in ingestions
    ]


@pytest.fixture(scope="module")
def two_days(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[bytes]]:
    """A workspace after two days, the second run's output, and the first day's training examples.

    Before the second day, all of those examples but one are removed: only the cached analysis still includes them.
    """
    workspace = tmp_path_factory.mktemp("two_days")
    store.wdr_ok(*store.run_arguments(data, workspace, 1))
    (first,) = train_records(workspace)
    (file,) = (workspace / "artifacts" / "example_gen" / "examples").glob("*/Split-train/*")
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        writer.write(first[0])
    return workspace, store.wdr_ok(*store.run_arguments(data, workspace, 2)), first


def test_the_second_day_starts_warm_and_is_held_against_the_first(two_days: tuple[Path, str, list[bytes]]) -> None:
    workspace, output, _ = two_days
    assert store.versions(workspace) == [1, 2]
    report = store.last_report(workspace)
    assert report["training"]["warm_started_from"] is not None
    assert set(report["baseline"]) == set(report["metrics"]) > {"auc", "logloss", "calibration"}
    assert report["spans"] == [2, 1]  # the window
    kept = report["training"]["warm_start"]["tables"]
    assert all(table["kept"] > 0 for table in kept.values()), kept
    assert "warm, from" in output


def test_the_first_day_s_model_is_measured_on_the_second_before_it_learns_from_it(
    two_days: tuple[Path, str, list[bytes]],
) -> None:
    workspace, output, _ = two_days
    progress = store.last_report(workspace)["progress"]
    assert (progress["span"], progress["trained_to"]) == (2, 1)
    assert 0 < progress["measured"]["metrics"]["auc"] < 1
    assert progress["measured"]["baseline"] == {}  # the first model had no baseline
    assert "unseen span" in output
    _, header, *rows = store.wdr_ok("models", "history", "--workspace", workspace).splitlines()
    assert header.split()[:4] == ["span", "to", "examples", "metric"]
    assert {tuple(row.split()[:2]) for row in rows} == {("2", "1")}


def test_the_window_s_first_day_is_not_analysed_again(two_days: tuple[Path, str, list[bytes]]) -> None:
    workspace, output, first = two_days
    assert "example_gen (span 1)" in store.cached(output)
    counts: collections.Counter[bytes] = collections.Counter()
    for record in [*first, *train_records(workspace)[-1]]:
        features = tf.train.Example.FromString(record).features.feature
        for name in ("app_id", "installed_apps"):  # they share a vocabulary, whose `min_count` is 2
            counts.update(features[name].bytes_list.value)
    expected = 1 + sum(1 for number in counts.values() if number >= 2)  # a missing value has a row, too
    assert store.last_report(workspace)["training"]["vocabulary_sizes"]["app_id"] == expected


def test_the_same_day_again_only_pushes_the_version_that_was_deleted(
    two_days: tuple[Path, str, list[bytes]], data: Path
) -> None:
    workspace, _, _ = two_days
    shutil.rmtree(workspace / "serving" / store.NAME / "2")
    output = store.wdr_ok(*store.run_arguments(data, workspace, 2))
    assert set(store.nodes(output)) - store.cached(output) == store.RESOLVERS | {"push"}
    assert store.versions(workspace) == [1, 2]
    verify(str(workspace / "serving" / store.NAME / "2"))
    assert store.last_report(workspace)["version"] == 2


def test_a_rewritten_log_is_read_again(two_days: tuple[Path, str, list[bytes]], data: Path, tmp_path: Path) -> None:
    workspace, _, _ = two_days
    late = tmp_path / "data"
    shutil.copytree(data, late)
    path = late / "impressions" / "day-2" / "part-00000.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-100]))
    output = store.wdr_ok(*store.run_arguments(late, workspace, 2))
    assert "example_gen" not in store.cached(output)
    assert store.last_report(workspace)["counts"]["read"]["impressions"] == 3900
