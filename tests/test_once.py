"""A folder that the workers of a test run share is filled once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.once import made_once


def test_a_folder_is_filled_once_and_again_only_after_a_failure(tmp_path_factory: pytest.TempPathFactory) -> None:
    calls = []

    def make(folder: Path) -> None:
        calls.append(list(folder.iterdir()))
        (folder / "half").touch()
        if len(calls) == 1:
            raise ValueError("the first call fails")

    with pytest.raises(ValueError, match="the first call fails"):
        made_once(tmp_path_factory, "once", make)
    folders = {made_once(tmp_path_factory, "once", make) for _ in range(2)}
    assert calls == [[], []]  # the second call found nothing of the first
    (folder,) = folders
    assert (folder / "half").exists()


def test_two_workers_fill_a_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads stand for the workers, since a file lock holds between them too."""
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    calls, first_call, second_call = [], threading.Event(), threading.Event()

    def make(folder: Path) -> None:
        calls.append(folder)
        (second_call if first_call.is_set() else first_call).set()
        second_call.wait(0.5)  # without the lock, the other worker begins to fill the folder meanwhile

    def worker(name: str) -> Path:
        (tmp_path / name).mkdir()
        factory: Any = SimpleNamespace(getbasetemp=lambda: tmp_path / name)
        return made_once(factory, "once", make)

    with ThreadPoolExecutor(2) as workers:
        first = workers.submit(worker, "popen-gw0")
        assert first_call.wait(10)
        second = workers.submit(worker, "popen-gw1")
        assert first.result() == second.result() == tmp_path / "shared" / "once"
    assert calls == [first.result()]
