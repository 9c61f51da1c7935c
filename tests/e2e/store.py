"""A small simulated store, and the command line as a user calls it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "tests" / "e2e" / "small_store.yaml"
NAME = "small_store"

#: The resolvers of a pipeline: TFX never takes them from the cache; nor does the pipeline take the push from it.
RESOLVERS = frozenset({
    "analyzer_cache", "anchor_model", "earlier_quality", "earlier_records", "last_pushed_model", "serving_model",
    "span_window", "previous_models", "validated_model", "vocabulary_memory",
})  # fmt: skip


def command(*arguments: str | Path) -> list[str]:
    """The command line of `wdr` with arguments, in this environment."""
    return [sys.executable, "-m", "pipeline.cli", *(str(a) for a in arguments)]


def wdr(
    *arguments: str | Path, root: Path = ROOT, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `wdr` until it ends; `environment` has variables that are added to this process's."""
    return subprocess.run(
        command(*arguments), cwd=root, capture_output=True, text=True, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip


def wdr_ok(*arguments: str | Path, root: Path = ROOT) -> str:
    """Runs `wdr`, which must succeed; returns its standard output."""
    done = wdr(*arguments, root=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def simulate(out: Path, days: int, impressions: int = 4000) -> Path:
    wdr_ok(
        "simulate", "--out", out, "--days", str(days), "--impressions-per-day", str(impressions),
        "--users", "300", "--apps", "100",
    )  # fmt: skip
    return out


def run_arguments(data: Path, workspace: Path, span: int, config: Path = CONFIG) -> list[str | Path]:
    return ["run", config, "--data", data, "--workspace", workspace, "--span", str(span), "--verbose"]


def with_late_labels(path: Path) -> Path:
    """Writes the small store's config with late labels."""
    text, of_installs = CONFIG.read_text(), "path: installs/day-{SPAN}/part-*.csv\n    format: csv\n"
    assert text.count(of_installs) == 1
    path.write_text(text.replace(of_installs, f"{of_installs}    late_labels: true\n"))
    return path


def copy_of(workspace: Path, place: Path) -> Path:
    """Copies a workspace. TFX stores absolute paths: the copy reads the artifacts so far in the original place."""
    from tests.e2e.own_copy import made_here  # here: it imports ML Metadata

    shutil.copytree(workspace, place)
    made_here(place)
    return place


def nodes(output: str) -> dict[str, str]:
    """How each node ended, as `wdr run` printed it: "taken from the cache" or its seconds."""
    ended = [line.removeprefix("✓ ").split(": ", 1) for line in output.splitlines() if line.startswith("✓ ")]
    return {name: how.strip() for name, how in ended}


def cached(output: str) -> set[str]:
    return {name for name, how in nodes(output).items() if how == "taken from the cache"}


def versions(workspace: Path, name: str = NAME) -> list[int]:
    folder = workspace / "serving" / name
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal()) if folder.is_dir() else []


def last_report(workspace: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(sorted((workspace / "reports").glob("*.json"))[-1].read_text())
    return report


def kill_when(
    arguments: list[str | Path],
    log: Path,
    ready: Callable[[], bool],
    *,
    timeout_seconds: float = 900,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Starts `wdr` and kills it, and all that it started, with SIGKILL as soon as `ready` returns True."""
    with log.open("w") as file:
        process = subprocess.Popen(
            command(*arguments), cwd=ROOT, stdout=file, stderr=file, start_new_session=True,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        deadline = time.monotonic() + timeout_seconds
        try:
            while not ready():
                assert process.poll() is None, f"ended before it could be killed: {log.read_text()}"
                assert time.monotonic() < deadline, f"the moment to kill never came: {log.read_text()}"
                time.sleep(0.001)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
