"""A server that is gone without a word is noticed, and one that is slow is left its time; with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from serving.ranking_client.aio_client import AsyncRankingClient
from serving.ranking_client.client import RankingClient
from serving.ranking_client.errors import RankingError
from serving.ranking_client.settings import ClientSettings
from tests.serving.ranking_client.running import Stoppable, forwarded, free_port, process, wait_for_port

#: Calls fail for at most this long after a link is cut; then they are watched for as long again.
FAILING_SECONDS = 3.0

_REQUEST = ({"age": 30}, ["app_1", "app_2"])

#: Makes calls with a client of these settings, with a pause in seconds after each.
Caller: TypeAlias = Callable[[ClientSettings, "Calls", float], Coroutine[Any, Any, None]]


class Calls:
    """Calls before and after a link is cut.

    Attributes:
      failed: When each failed call was sent, in seconds after the cut.
    """

    def __init__(self, cut: threading.Event) -> None:
        self._cut, self._cut_at, self.failed = cut, 0.0, list[float]()

    async def turns(self, pause: float) -> AsyncIterator[None]:
        """Yields for each call to be made: 40 before the cut, so that both servers are in use, then until the end."""
        for _ in range(40):
            yield
        self._cut.set()
        self._cut_at = time.monotonic()
        while time.monotonic() < self._cut_at + 2 * FAILING_SECONDS:
            yield
            await asyncio.sleep(pause)

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Makes a call within the block."""
        sent = time.monotonic()
        try:
            yield
        except RankingError:
            if not self._cut_at:
                raise
            self.failed.append(sent - self._cut_at)


async def with_sync_client(settings: ClientSettings, calls: Calls, pause: float) -> None:
    with RankingClient(settings) as client:
        async for _ in calls.turns(pause):
            with calls.one():
                client.rank(*_REQUEST)


async def with_async_client(settings: ClientSettings, calls: Calls, pause: float) -> None:
    async with AsyncRankingClient(settings) as client:
        async for _ in calls.turns(pause):
            with calls.one():
                await client.rank(*_REQUEST)


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 0.6], ids=["many calls", "a call now and then"])
@pytest.mark.parametrize("caller", [with_sync_client, with_async_client])
def test_calls_fail_for_at_most_3_s_after_a_link_is_cut(
    caller: Caller, stoppable: list[Stoppable], pause: float
) -> None:
    """By round-robin, every second call meets the dead link as long as it is not noticed."""
    (first, _), (second, _) = stoppable
    ports = free_port(), free_port()
    settings = ClientSettings(
        model="tiny", server=f"ipv4:127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}", deadline_seconds=0.5
    )
    with forwarded(ports[0], first) as cut, forwarded(ports[1], second):
        calls = Calls(cut)
        asyncio.run(caller(settings, calls, pause))
    assert max(calls.failed) < FAILING_SECONDS, calls.failed


@pytest.mark.slow
@pytest.mark.parametrize("gap", [8.0, 1.0], ids=["alone", "among others"])
def test_a_call_of_8_s_passes_with_the_ping_limit_that_tf_serving_has(gap: float, tmp_path: Path) -> None:
    """gRPC's default limit ends a connection whose client pings each second for as long as nothing is answered."""
    port = free_port()
    with process(["-m", "tests.serving.ranking_client.slow_server", str(port), "8"], tmp_path / "log") as running:
        wait_for_port(running, port, tmp_path / "log")
        settings = ClientSettings(model="m", server=f"127.0.0.1:{port}", deadline_seconds=60.0, max_attempts=1)
        with RankingClient(settings) as client, ThreadPoolExecutor(8) as threads:
            answers = []
            for _ in range(int(8 / gap)):
                answers.append(threads.submit(client.signatures))
                time.sleep(gap)
            assert {answer.result().version for answer in answers} == {1}
