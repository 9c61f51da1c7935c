"""When a call's copies are sent, and when it is lost. It has no clock and no network; who drives it does."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import grpc

from serving.ranking_client.settings import ClientSettings


class CallAttempts:
    """One call on its way.

    At most `max_attempts` copies of it are sent. One that failed is sent again only after UNAVAILABLE, when no server
    has answered; any other failure ends the call. Before that it waits, twice as long each time, by half to one and a
    half of that, so that the clients of a server that was away do not all come back at once. With hedging, a further
    copy leaves after each delay without an answer; not one alone, which may go to the same server as the first.

    Args:
      settings: Tries, waits and hedging.
      now: The time, seconds on any clock.
      deadline: When the budget ends, on the same clock.
      draw: Draws from [0, 1).

    Attributes:
      due: When the next copy is to be sent; infinite if none is.
      num_sent: The copies sent so far.
    """

    def __init__(
        self, settings: ClientSettings, now: float, deadline: float, draw: Callable[[], float] = random.random
    ) -> None:
        self._settings, self._deadline, self._draw = settings, deadline, draw
        self._in_flight = 0
        self._num_failed = 0
        self.num_sent = 0
        self.due = now

    def sent(self, now: float) -> None:
        """A copy was sent."""
        self.num_sent += 1
        self._in_flight += 1
        hedge = self._settings.hedge_after_seconds
        self.due = now + hedge if hedge is not None and self._may_send else math.inf

    def failed(self, code: grpc.StatusCode, now: float) -> bool:
        """A copy failed; returns whether the call is lost."""
        self._in_flight -= 1
        if code != grpc.StatusCode.UNAVAILABLE:
            return True
        if self._may_send:
            wait = self._settings.backoff_seconds * 2**self._num_failed * (0.5 + self._draw())
            if now + wait < self._deadline:
                self.due = min(self.due, now + wait)
        self._num_failed += 1
        return self._in_flight == 0 and self.due == math.inf

    @property
    def _may_send(self) -> bool:
        return self.num_sent < self._settings.max_attempts
