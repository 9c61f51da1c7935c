"""Tests that an export that is killed leaves nothing half, and that the next one is whole."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipeline.log_export.stores import log_events, log_requests


@pytest.mark.slow
def test_an_export_that_is_killed_at_any_write_leaves_nothing_half(tmp_path: Path) -> None:
    first, *_ = log_requests(tmp_path / "log", [{}] * 3)
    now = time.time()
    log_events(tmp_path / "log", [(first, "x", "shown", now, 1), (first, "x", "install", now, None)])
    command = [sys.executable, "-m", "tests.pipeline.log_export.killed", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    moments, word = line.split()
    assert (word, int(moments) >= 6) == ("moments", True)
