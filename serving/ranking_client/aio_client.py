"""The asyncio ranking client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import grpc

from serving.ranking_client import channel
from serving.ranking_client.errors import RankingError, server_error
from serving.ranking_client.features import Candidate, Features
from serving.ranking_client.protos import PredictionServiceStub
from serving.ranking_client.ranked import Ranking
from serving.ranking_client.settings import ClientSettings
from serving.ranking_client.signatures import ModelSignatures
from serving.ranking_client.steps import Call, RankingSteps, Steps
from serving.serving_log.exploration import Exploration
from serving.serving_log.log import ServingLog

Result = TypeVar("Result")


class AsyncRankingClient:
    """Ranks candidates with a model server. Create and use it within one event loop; `async with` closes it.

    Args:
      settings: The settings.
      log: As in `RankingClient`; its `close` waits for the disk, so that a loop calls it in a thread.
      exploration: As in `RankingClient`.

    Raises:
      InputError: If a certificate, key or token file has no such content, or there is exploration without a log.
      OSError: If such a file cannot be read.
    """

    def __init__(
        self, settings: ClientSettings, log: ServingLog | None = None, exploration: Exploration | None = None
    ) -> None:
        self._settings = settings
        self._steps = RankingSteps(settings, log, exploration)
        self._metadata = channel.CallMetadata(settings)
        self._channel = channel.open_channel(settings, grpc.aio)
        self._stub = PredictionServiceStub(self._channel)

    async def __aenter__(self) -> AsyncRankingClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; calls in flight fail."""
        await self._channel.close()

    async def rank(
        self,
        context: Features | bytes,
        candidates: Sequence[Candidate],
        k: int | None = None,
        *,
        logits: bool = False,
        explain: bool = False,
        user: str = "",
        deadline_seconds: float | None = None,
    ) -> Ranking:
        """Ranks a request's candidates, as `RankingClient.rank` does. Cancelling it cancels its calls."""
        return await self._run(self._steps.rank(context, candidates, k, logits, explain, user), deadline_seconds)

    async def signatures(self, deadline_seconds: float | None = None) -> ModelSignatures:
        """Asks the server for the model's version and signatures; raises RankingError if it does not answer."""
        return await self._run(self._steps.signatures(), deadline_seconds)

    async def _run(self, steps: Steps[Result], deadline_seconds: float | None) -> Result:
        budget = self._steps.budget(deadline_seconds)
        deadline = time.monotonic() + budget
        try:
            calls = next(steps)
            while True:
                try:
                    answers = await self._perform(calls, deadline, budget)
                except RankingError as error:
                    calls = steps.throw(error)
                else:
                    calls = steps.send(answers)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    async def _perform(self, calls: list[Call], deadline: float, budget: float) -> list[Any]:
        """Makes calls in parallel and returns their answers in order; if one fails, cancels the rest and raises."""
        if len(calls) == 1:
            return [await self._fly(calls[0], deadline, budget)]
        tasks = [asyncio.ensure_future(self._fly(call, deadline, budget)) for call in calls]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def _fly(self, call: Call, deadline: float, budget: float) -> Any:
        flight = call.attempts(self._settings, time.monotonic(), deadline)
        method = getattr(self._stub, call.method)
        copies: set[asyncio.Future[Any]] = set()
        try:
            while True:
                now = time.monotonic()
                if flight.due <= now:
                    try:
                        sent = method(call.request, timeout=deadline - now, metadata=self._metadata.now())
                    except grpc.aio.UsageError as error:
                        raise self._closed(budget) from error
                    copies.add(asyncio.ensure_future(sent))
                    flight.sent(now)
                wait = max(0.0, min(flight.due - time.monotonic(), budget))
                if not copies:
                    await asyncio.sleep(wait)
                    continue
                done, copies = await asyncio.wait(copies, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                for copy in sorted(done, key=_has_failed):  # answers before failures
                    if copy.cancelled():  # not by the caller, whose cancellation ends the wait above
                        raise self._closed(budget)
                    failure = copy.exception()
                    if failure is None:
                        return copy.result()
                    if not isinstance(failure, grpc.aio.AioRpcError):
                        raise failure
                    if flight.failed(code := failure.code(), time.monotonic()):
                        raise server_error(code, failure.details(), self._settings.server, budget) from failure
        finally:
            for copy in copies:
                copy.cancel()

    def _closed(self, budget: float) -> RankingError:
        return server_error(grpc.StatusCode.CANCELLED, "the client was closed", self._settings.server, budget)


def _has_failed(copy: asyncio.Future[Any]) -> bool:
    return copy.cancelled() or copy.exception() is not None
