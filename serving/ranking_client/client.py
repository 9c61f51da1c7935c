"""The synchronous ranking client."""

from __future__ import annotations

import queue
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


class RankingClient:
    """Ranks candidates with a model server. It is safe to share between threads; `with` closes it.

    Args:
      settings: The settings.
      log: Has a record of each answered request; closed by the caller, after the client. None logs nothing.
      exploration: Moves items by chance, which needs a log; None ranks by score alone.

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
        self._channel = channel.open_channel(settings, grpc)
        self._stub = PredictionServiceStub(self._channel)
        self._is_closed = False

    def __enter__(self) -> RankingClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; calls in flight fail."""
        self._is_closed = True  # before it cancels the calls, which are not tried again then
        self._channel.close()

    def rank(
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
        """Ranks a request's candidates.

        Args:
          context: The context features by name, each a string, a number, a list of either, or None; or a serialized
            tf.Example of them.
          candidates: Item ids; or, for items that are newer than the model's catalog, pairs of an id and item features
            in the same form as the context's.
          k: Return only the best k; None returns all.
          logits: Return the wide and deep logits too.
          explain: Return the explanations of the best k too, at most `MAX_EXPLAINED`; the model must have the signature
            `explain`.
          user: The user's key for the serving log; the model does not get it.
          deadline_seconds: The budget in seconds; None takes `deadline_seconds` of the settings.

        Raises:
          RequestError: If the request breaks a rule; nothing was sent for it.
          RankingError: If the server did not answer it.
        """
        return self._run(self._steps.rank(context, candidates, k, logits, explain, user), deadline_seconds)

    def signatures(self, deadline_seconds: float | None = None) -> ModelSignatures:
        """Asks the server for the model's version and signatures; raises RankingError if it does not answer."""
        return self._run(self._steps.signatures(), deadline_seconds)

    def _run(self, steps: Steps[Result], deadline_seconds: float | None) -> Result:
        budget = self._steps.budget(deadline_seconds)
        deadline = time.monotonic() + budget
        try:
            calls = next(steps)
            while True:
                try:
                    answers = self._perform(calls, deadline, budget)
                except RankingError as error:
                    calls = steps.throw(error)
                else:
                    calls = steps.send(answers)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    def _perform(self, calls: list[Call], deadline: float, budget: float) -> list[Any]:
        """Makes calls in parallel and returns their answers in order; if one fails, cancels the rest and raises."""
        if len(calls) == 1 and self._settings.hedge_after_seconds is None:
            return [self._fly(calls[0], deadline, budget)]
        now = time.monotonic()
        flights = {i: call.attempts(self._settings, now, deadline) for i, call in enumerate(calls)}
        events: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        sent: list[Any] = []
        answers: dict[int, Any] = {}
        try:
            while flights:
                now = time.monotonic()
                for i, flight in flights.items():
                    if flight.due <= now:
                        sent.append(self._send(calls[i], deadline - now, i, events))
                        flight.sent(now)
                try:
                    wait = min(flight.due for flight in flights.values()) - time.monotonic()
                    i, future = events.get(timeout=max(0.0, min(wait, budget)))
                except queue.Empty:
                    continue
                if i not in flights:  # another copy of this call was answered first
                    continue
                code = future.code()
                if code == grpc.StatusCode.OK:
                    answers[i] = future.result()
                    del flights[i]
                elif self._is_closed or flights[i].failed(code, time.monotonic()):
                    raise server_error(code, future.details(), self._settings.server, budget)
        finally:
            for future in sent:
                future.cancel()
        return [answers[i] for i in range(len(calls))]

    def _fly(self, call: Call, deadline: float, budget: float) -> Any:
        """Makes one call without hedging, in this thread; futures, as several calls use, take 0.2 ms more."""
        flight = call.attempts(self._settings, time.monotonic(), deadline)
        method = getattr(self._stub, call.method)
        while True:
            now = time.monotonic()
            if flight.due > now:
                time.sleep(flight.due - now)
                now = time.monotonic()
            flight.sent(now)
            try:
                return method(call.request, timeout=deadline - now, metadata=self._metadata.now())
            except grpc.RpcError as error:
                if self._is_closed or flight.failed(error.code(), time.monotonic()):
                    raise server_error(error.code(), error.details(), self._settings.server, budget) from error

    def _send(self, call: Call, timeout: float, i: int, events: queue.SimpleQueue[tuple[int, Any]]) -> Any:
        method = getattr(self._stub, call.method)
        future = method.future(call.request, timeout=timeout, metadata=self._metadata.now())
        future.add_done_callback(lambda done: events.put((i, done)))
        return future
