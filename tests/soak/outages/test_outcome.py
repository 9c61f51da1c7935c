"""The verdict of the campaign of outages."""

from __future__ import annotations

import pytest

from tests.soak.outages.clients import Calls, Failure, Outcome, was_accepted


def failure(sent: float, code: str = "UNAVAILABLE") -> Failure:
    return Failure(sent, code, "x")


def test_a_call_that_was_never_accepted_is_not_lost() -> None:
    assert not was_accepted("failed to connect to all addresses; last error: Connection refused")
    assert not was_accepted("the model server is still loading its first models; try again")
    assert was_accepted("")
    assert was_accepted("Socket closed")


def test_where_no_node_is_lost_no_call_may_fail() -> None:
    times = [(1.0, 3.0), (5.0, 7.0)]
    assert Outcome("SIGTERM", times, Calls(5), [0, 0]).problems() == []
    lost = [failure(6.25, "CANCELLED"), failure(0.5)]
    bad = Outcome("SIGTERM", times, Calls(5, [failure(4.0)], lost), [0, -9], others=["a log: x"])
    assert bad.problems() == [
        "SIGTERM: a log: x",
        "SIGTERM: every server must end with exit code 0. Received: [-9]",
        "SIGTERM: what a server accepts must be answered. Received: 2\n"
        "  1.250 s after outage 2, CANCELLED: x\n"
        "  0.000 s after outage 0, UNAVAILABLE: x",
        "SIGTERM: no call must fail. Received: 1\n  3.000 s after outage 1, UNAVAILABLE: x",
    ]


def test_after_a_loss_calls_may_fail_for_3_s() -> None:
    times = [(10.0, 19.0), (20.0, 29.0)]
    good = Outcome("a loss", times, Calls(5, [failure(9.5)], [failure(12.75), failure(21.0)]), bound=3.0)
    assert good.failing_seconds == pytest.approx(2.75)
    assert good.problems() == []
    late = Outcome("a loss", times, Calls(5, [], [failure(21.0), failure(23.5)]), bound=3.0)
    assert late.problems() == [
        "a loss: calls must fail for at most 3 s. Received: 3.50 s; later ones: 1\n"
        "  3.500 s after outage 2, UNAVAILABLE: x"
    ]
    between = Outcome("a loss", times, Calls(5, [failure(34.5)]), bound=3.0)
    assert between.problems() == ["a loss: no call must fail. Received: 1\n  14.500 s after outage 2, UNAVAILABLE: x"]
