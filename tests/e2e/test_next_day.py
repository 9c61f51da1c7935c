"""The second day is warm-started from the first, and done only once; a rollback is what the next run builds on.

The tests change one workspace, in their order.
"""

from __future__ import annotations

import collections
import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from components.model_store.manifest import Baseline, read_manifest
from components.model_store.versions import verify
from tests.e2e import store
from tests.e2e.bad_store import in_process, ok_in_process
from tests.e2e.own_copy import own_copy_of
from tests.e2e.prepared_store import read_rows, write_rows
from tests.soak.many_days import cleaned_up, problems

pytestmark = pytest.mark.slow


def train_records(workspace: Path) -> list[list[bytes]]:
    """The training examples of every ingestion, oldest first."""
    ingestions = sorted((workspace / "artifacts" / "example_gen" / "examples").iterdir(), key=lambda p: int(p.name))
    return [
        list(tf.data.TFRecordDataset([str(p) for p in folder.glob("Split-train/*")], "GZIP").as_numpy_iterator())
        for folder in ingestions
    ]


@pytest.fixture(scope="module")
def two_days(
    first_day: tuple[Path, str], data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, list[bytes]]:
    """A workspace after two days, the second run's output, and the first day's training examples.

    Before the second day, all of those examples but one are removed: only the cached analysis still includes them.
    """
    workspace = own_copy_of(first_day[0], tmp_path_factory.mktemp("two_days") / "workspace")
    (first,) = train_records(workspace)
    (file,) = (workspace / "artifacts" / "example_gen" / "examples").glob("*/Split-train/*")
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        writer.write(first[0])
    return workspace, ok_in_process(*store.run_arguments(data, workspace, 2)), first


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
    _, header, *rows = ok_in_process("models", "history", "--workspace", workspace).splitlines()
    assert header.split()[:4] == ["span", "to", "examples", "metric"]
    assert {tuple(row.split()[:2]) for row in rows} == {("2", "1")}


def test_the_first_day_s_model_has_the_same_scores_before_and_after_the_training(
    two_days: tuple[Path, str, list[bytes]],
) -> None:
    """They are kept under one name, by which the evaluator finds those of progressive validation."""
    workspace, _, _ = two_days
    nodes = [workspace / "artifacts" / name / "evaluation" for name in ("progressive_validation", "evaluator")]
    unseen, judged = (max(node.iterdir(), key=lambda path: int(path.name)) for node in nodes)
    (scores,) = unseen.glob("scores-*")
    assert (judged / scores.name).read_bytes() == scores.read_bytes()
    assert len(list(judged.glob("scores-*"))) == 2


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


def test_a_clean_up_leaves_what_versions_were_made_from(
    two_days: tuple[Path, str, list[bytes]], tmp_path: Path
) -> None:
    """The short form of `python -m tests.soak.many_days`."""
    workspace = own_copy_of(two_days[0], tmp_path / "workspace")
    day = cleaned_up(workspace, 2, [], keep_runs=1)
    assert (problems([day], keep_runs=1), day.is_warm) == ([], True)
    # The examples of a day from which a version was made are kept; its evaluation is removed.
    assert len(list((workspace / "artifacts" / "example_gen" / "examples").iterdir())) == 2
    assert len(list((workspace / "artifacts" / "evaluator" / "evaluation").iterdir())) == 1


def test_the_same_day_again_only_pushes_the_version_that_was_deleted(
    two_days: tuple[Path, str, list[bytes]], data: Path
) -> None:
    workspace, _, _ = two_days
    shutil.rmtree(workspace / "serving" / store.NAME / "2")
    output = ok_in_process(*store.run_arguments(data, workspace, 2))
    assert set(store.nodes(output)) - store.cached(output) == store.RESOLVERS | {"push"}
    assert store.versions(workspace) == [1, 2]
    verify(str(workspace / "serving" / store.NAME / "2"))
    assert store.last_report(workspace)["version"] == 2


def test_a_rollback_is_what_the_next_run_builds_on_and_a_forced_push_is_on_record(
    two_days: tuple[Path, str, list[bytes]], data: Path, tmp_path: Path
) -> None:
    workspace, _, _ = two_days
    serving = workspace / "serving" / store.NAME
    arguments = store.run_arguments(data, workspace, 2)

    output = ok_in_process("models", "rollback", "--workspace", workspace, "--reason", "the second is bad")
    assert output.startswith(f"version 3 serves ({serving}/3)\nrecorded in ML Metadata")
    assert verify(str(serving / "3")) == verify(str(serving / "1"))
    restored = read_manifest(str(serving / "1")).model_uri
    assert restored is not None

    # The second day's run, repeated, uses its cached results and does not push the second model again.
    output = ok_in_process(*arguments)
    assert {"transform", "trainer", "evaluator", "infra_validation"} <= store.cached(output)
    assert "yes, as version 2, pushed before this run: version 3 serves\n" in output
    assert store.versions(workspace) == [1, 2, 3]

    # Another model starts from the serving version and is compared with it, though ML Metadata is lost. A gate refuses
    # it.
    shutil.rmtree(workspace / "metadata")
    strict = tmp_path / "strict.yaml"
    text = store.CONFIG.read_text()
    assert (text.count("auc: {min: 0.4"), text.count("\ntraining:\n")) == (1, 1)
    text = text.replace("\ntraining:\n", "\ntraining:\n  seed: 7\n").replace("auc: {min: 0.4", "auc: {min: 0.99")
    strict.write_text(text)
    arguments = store.run_arguments(data, workspace, 2, strict)
    output = ok_in_process(*arguments)
    assert "no: auc must be at least 0.99" in output
    report = store.last_report(workspace)
    assert report["training"]["warm_started_from"].startswith(restored)
    assert set(report["baseline"]) >= {"auc", "logloss"}
    assert report["held_against"].startswith("version 3, trained to span 1, found by its manifest")
    assert report["baseline_version"] == 3
    assert store.versions(workspace) == [1, 2, 3]

    done = in_process(*arguments, "--force-push")
    assert (done.returncode, done.stdout) == (2, "")
    assert "must be given together: overriding a gate requires a reason" in done.stderr

    output = ok_in_process(*arguments, "--force-push", "--reason", "the threshold is a typing error")
    assert {"trainer", "evaluator", "infra_validation"} <= store.cached(output)
    assert "yes, as version 4" in output
    assert "the threshold is a typing error; refused: auc must be at least 0.99" in output
    manifest = read_manifest(str(serving / "4"))
    assert manifest.baseline == Baseline(restored, 3)
    assert manifest.forced is not None
    assert manifest.forced.reason == "the threshold is a typing error"
    assert manifest.forced.refusals
    verify(str(serving / "4"))


def test_a_rewritten_log_is_read_again(data: Path, tmp_path: Path) -> None:
    """The cache has the examples of the same path. No row is fit, so the first gate ends each run."""
    logs, workspace = tmp_path / "logs", tmp_path / "workspace"
    shutil.copytree(data, logs)  # tests that run at the same time read the shared logs
    log = logs / "impressions" / "day-1" / "part-00000.csv"
    rows = [{**row, "timestamp": "never"} for row in read_rows(log)]
    for number, is_rewritten in ((4000, True), (4000, False), (3900, True)):
        if is_rewritten:
            write_rows(log, rows[:number])
        done = in_process(*store.run_arguments(logs, workspace, 1))
        assert done.returncode == 1
        assert ("example_gen" in store.cached(done.stdout)) != is_rewritten
        report = store.last_report(workspace)
        assert (report["span"], report["skipped_by"]) == (1, "row_gate")
        newest = max(
            (workspace / "artifacts" / "example_gen" / "quarantine").iterdir(), key=lambda path: int(path.name)
        )
        assert json.loads((newest / "counts.json").read_text())["read"]["impressions"] == number
