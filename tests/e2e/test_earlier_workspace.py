"""An earlier release's workspace continues: its versions, skipped spans and the users' decisions remain valid."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from components.model_store.manifest import read_manifest
from components.model_store.versions import verify
from tests.e2e import earlier_workspace, store
from tests.e2e.bad_store import ok_in_process

pytestmark = pytest.mark.slow

ARCHIVE = store.ROOT / "tests" / "e2e" / "workspace-of-0.1.tar.xz"


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


def test_the_next_day_builds_on_it_and_an_earlier_version_can_serve_again(folder: Path) -> None:
    workspace = folder / "workspace"
    serving = workspace / "serving" / store.NAME
    assert [path.name for path in (workspace / "checkpoints").iterdir()] != []
    config = folder / "three_spans.yaml"
    config.write_text((folder / "config.yaml").read_text().replace("window_spans: 2", "window_spans: 3"))
    output = ok_in_process(*store.run_arguments(folder / "data", workspace, 5, config))
    assert "yes, as version 5" in output

    report = store.last_report(workspace)
    assert report["held_against"] == "version 4, trained to span 4"
    assert report["spans"] == [5, 4]  # of the window of 3, 4 and 5: a gate on data stopped 3
    assert report["training"]["warm_started_from"].startswith(str(read_manifest(str(serving / "4")).model_uri))
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
