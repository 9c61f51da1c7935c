"""Decides when a call's copies are sent and when the call has failed. The caller supplies the clock and the network."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import grpc

from serving.ranking_client.settings import ClientSettings

#: Codes of a copy that no server has answered. gRPC cancels a call that reaches a server after its stop has begun, and
#: before the client knows of it.
_NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)

#: Codes with which one server refuses a copy that another server may answer: the first is full, or lacks the version.
_REFUSALS = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.NOT_FOUND)


class CallAttempts:
    """The state of one call: its copies sent, and when the next one is due.

    At most `max_attempts` copies are sent. A failed copy is sent again only after UNAVAILABLE, when no server has
    answered; after CANCELLED, by a server that stops; and, if `retries_not_found`, after NOT_FOUND. After another
    refusal by one server, RESOURCE_EXHAUSTED or NOT_FOUND, no further copy is sent, but one in flight may still be
    answered. Any other failure ends the call. The wait before a retry doubles each time, and is multiplied by a random
    factor between 0.5 and 1.5, so that the clients of a server that was away do not all return at once. With hedging, a
    further copy is sent after each delay without an answer. There may be several, since the second copy may reach the
    same server as the first.

    Args:
      settings: The settings of attempts, waits and hedging.
      now: The time, seconds on any clock.
      deadline: When the budget ends, on the same clock.
      retries_not_found: Whether a copy is sent again after NOT_FOUND.
      draw: Draws a random number from [0, 1).

    Attributes:
      due: When the next copy is to be sent; infinite if none is.
      num_sent: The copies sent so far.
    """

    def __init__(
        self,
        settings: ClientSettings,
        now: float,
        deadline: float,
        *,
        retries_not_found: bool = False,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._deadline, self._draw = settings, deadline, draw
        self._retried = {*_NO_ANSWER, *([grpc.StatusCode.NOT_FOUND] if retries_not_found else [])}
        self._in_flight = 0
        self._num_failed = 0
        self._refused = False
        self.num_sent = 0
        self.due = now

    def sent(self, now: float) -> None:
        """Records that a copy was sent."""
        self.num_sent += 1
        self._in_flight += 1
        hedge = self._settings.hedge_after_seconds
        self.due = now + hedge if hedge is not None and self._may_send else math.inf

    def failed(self, code: grpc.StatusCode, now: float) -> bool:
        """Records that a copy failed, but not by the caller's own end; returns whether the call has failed."""
        self._in_flight -= 1
        if code not in self._retried:
            if code not in _REFUSALS:
                return True
            self._refused, self.due = True, math.inf
            return self._in_flight == 0
        if self._may_send:
            wait = self._settings.backoff_seconds * 2**self._num_failed * (0.5 + self._draw())
            if now + wait < self._deadline:
                self.due = min(self.due, now + wait)
        self._num_failed += 1
        return self._in_flight == 0 and self.due == math.inf

    @property
    def _may_send(self) -> bool:
        return not self._refused and self.num_sent < self._settings.max_attempts
