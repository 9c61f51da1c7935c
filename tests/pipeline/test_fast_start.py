"""Commands that need no TensorFlow import none, so that they answer at once; those of a workspace: test_models.py."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.options import uncollected_imports
from pipeline.simulator import simulate
from tests.pipeline.heavy_imports import ROOT, wdr

CONFIG = "configs/app_store.yaml"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    simulate(folder, num_days=1, impressions_per_day=2_000, num_users=200, num_apps=100)
    return folder


def test_garbage_is_collected_again_after_imports_that_fail() -> None:
    with uncollected_imports():
        assert not gc.isenabled()
    with pytest.raises(ImportError), uncollected_imports():
        raise ImportError
    assert gc.isenabled()


@pytest.mark.parametrize("command", [(), ("models",), ("run",), ("check",), ("rank",), ("run-node",), ("serve",)])
def test_help_needs_no_heavy_library(command: tuple[str, ...]) -> None:
    done = wdr(*command, "--help")
    assert (done.code, done.imported) == (0, [])
    assert done.stdout.startswith(" ".join(("Usage: wdr", *command)))


def test_check_needs_none_for_local_files(data: Path) -> None:
    done = wdr("check", CONFIG, "--data", str(data))
    assert (done.code, done.stderr, done.imported) == (0, "", [])
    assert "impressions: 1 files, the first 2,000 rows read, all good" in done.stdout


def test_check_of_a_derived_feature_imports_tensorflow_without_its_messages(data: Path, tmp_path: Path) -> None:
    text = Path(CONFIG).read_text(encoding="utf-8")
    hour = "{name: utc_hour, side: context, kind: categorical, column: timestamp, vocabulary: {}"
    derive = "derive: {part: hour, format: epoch_seconds}"
    config = tmp_path / "store.yaml"
    config.write_text(text.replace("\nfeatures:\n", f"\nfeatures:\n  - {hour}, {derive}}}\n"))
    done = wdr("check", str(config), "--data", str(data))
    assert (done.code, done.stderr, done.imported) == (0, "", ["tensorflow"])
    assert "impressions: 1 files, the first 2,000 rows read, all good" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--span", "99"), "error: there are no impressions for span 99; the latest are of span 1 ("),
        (("--data", "{data}/users"), "error: there are no impressions for any span ("),
        (("--rolling-window", "0"), "error: Invalid value for '--rolling-window'"),
    ],
)
def test_run_tells_of_a_mistake_before_it_imports_tfx(
    data: Path, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    more = [word.format(data=data) for word in words]
    done = wdr("run", CONFIG, "--data", str(data), "--workspace", str(tmp_path / "w"), *more)
    assert done.stderr.startswith(expected)
    assert (done.code > 0, done.imported) == (True, [])


def test_run_tells_of_a_missing_column_before_it_imports_tfx(data: Path, tmp_path: Path) -> None:
    text = Path(CONFIG).read_text(encoding="utf-8")
    config = tmp_path / "store.yaml"
    config.write_text(text.replace("timestamp: timestamp", "timestamp: when"))
    assert config.read_text() != text
    done = wdr("run", str(config), "--data", str(data), "--workspace", str(tmp_path / "w"))
    assert done.stderr.startswith("error: the columns ['when'] are missing. Received: [")
    assert (done.code, done.imported) == (1, [])


def test_rank_needs_none(tmp_path: Path) -> None:
    words = ("--server", "127.0.0.1:1", "--model", "m", "--deadline-seconds", "20", "--context", "{}", "--items", "a")
    done = wdr("rank", *words)
    assert done.stderr.startswith("error: the model server must be reachable. Received: UNAVAILABLE")
    assert (done.code, done.imported) == (1, [])


def test_a_shell_completes_commands() -> None:
    environment = {**os.environ, "_WDR_COMPLETE": "bash_complete", "COMP_WORDS": "wdr mod", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "plain,models\n"
