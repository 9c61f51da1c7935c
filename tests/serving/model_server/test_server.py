"""The server's process: what its tasks do when they fail."""

from __future__ import annotations

import asyncio
import json

import pytest

from serving.model_server.server import _start_watcher


def test_a_watcher_that_fails_is_told_and_stops_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    async def watch() -> None:
        raise ValueError("no such thing")

    async def stopped() -> None:
        stop = asyncio.Event()
        task = _start_watcher(watch(), stop)
        await asyncio.wait_for(stop.wait(), 10)
        assert task.done()

    asyncio.run(stopped())
    (line,) = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (line["level"], line["message"], line["reason"]) == (
        "error",
        "a watcher failed",
        "ValueError: no such thing",
    )
    assert line["watcher"].endswith("watch")


def test_a_watcher_that_is_cancelled_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async def cancelled() -> bool:
        stop = asyncio.Event()
        task = _start_watcher(asyncio.sleep(60), stop)
        task.cancel()
        await asyncio.wait([task])
        return stop.is_set()

    assert not asyncio.run(cancelled())
    assert capsys.readouterr().err == ""
