"""An edit of the code reruns its component and nothing that does not depend on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e import store
from tests.e2e.timed_run import TimedRun

pytestmark = pytest.mark.slow


def test_only_what_was_edited_runs_again(first_day: tuple[Path, str], data: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    for name in ("components", "configs", "pipeline", "serving", "tests", "trainer", "transform"):
        shutil.copytree(store.ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(store.ROOT / "requirements.lock", root)  # a part of the code's fingerprint
    (root / "README.md").write_text("A page.\n")
    config = root / "tests" / "e2e" / "small_store.yaml"
    workspace = store.copy_of(first_day[0], tmp_path / "workspace")
    arguments = store.run_arguments(data, workspace, 1, config)

    # The copy of the code is no edit; what depends on the workspace's path, such as the schema's file, runs again.
    before = _until_trained(arguments, root)
    assert "trainer" in store.nodes(before)
    assert "example_gen" in store.cached(before)

    (root / "README.md").write_text("A page, <!-- with a comment. -->\n")
    _edit(
        root / "trainer" / "wide_deep" / "model.py",
        "import tensorflow as tf",
        "import tensorflow as tf  # the model was edited",
    )
    after = _until_trained(arguments, root)
    assert "trainer" in store.nodes(after).keys() - store.cached(after)
    assert store.cached(after) >= {"example_gen", "statistics_gen", "transform"}


def _until_trained(arguments: list[str | Path], root: Path) -> str:
    """Runs `wdr` until the node after the trainer starts, since no later node is looked at; returns its output."""
    run = TimedRun(arguments, root=root)
    assert run.kill_after("infra_validation", 0) is not None, run.output
    return run.output


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
