"""Rollbacks and forced pushes: which version serves, what the next run builds on, and what is recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.model_store.versions import read_manifest, verify
from tests.e2e import store

pytestmark = pytest.mark.slow


def test_a_rollback_is_what_the_next_run_builds_on_and_a_forced_push_is_on_record(
    first_day: tuple[Path, str], data: Path, tmp_path: Path
) -> None:
    # A copy. TFX stores absolute paths: it reads the first day's artifacts in the original place.
    workspace = first_day[0].parent / "going-back"
    shutil.copytree(first_day[0], workspace)
    serving = workspace / "serving" / store.NAME
    arguments = store.run_arguments(data, workspace, 2)
    store.wdr_ok(*arguments)

    output = store.wdr_ok("models", "rollback", "--workspace", workspace, "--reason", "the second is bad")
    assert output.startswith(f"version 3 serves ({serving}/3)\nrecorded in ML Metadata")
    assert verify(str(serving / "3")) == verify(str(serving / "1"))
    restored = read_manifest(str(serving / "1"))["model_uri"]

    # The second day's run, repeated, uses its cached results and does not push the second model again.
    output = store.wdr_ok(*arguments)
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
    output = store.wdr_ok(*arguments)
    assert "no: auc must be at least 0.99" in output
    report = store.last_report(workspace)
    assert report["training"]["warm_started_from"].startswith(restored)
    assert set(report["baseline"]) >= {"auc", "logloss"}
    assert report["held_against"].startswith("version 3, trained to span 1, found by its manifest")
    assert store.versions(workspace) == [1, 2, 3]

    done = store.wdr(*arguments, "--force-push")
    assert (done.returncode, done.stdout) == (2, "")
    assert "must be given together: overriding a gate requires a reason" in done.stderr

    output = store.wdr_ok(*arguments, "--force-push", "--reason", "the threshold is a typing error")
    assert {"trainer", "evaluator", "infra_validation"} <= store.cached(output)
    assert "yes, as version 4" in output
    assert "the threshold is a typing error; refused: auc must be at least 0.99" in output
    manifest = read_manifest(str(serving / "4"))
    assert manifest["baseline"] == {"model_uri": restored, "version": 3}
    assert manifest["forced"]["reason"] == "the threshold is a typing error"
    assert manifest["forced"]["refusals"]
    verify(str(serving / "4"))
