"""Tests of when a call's copies are sent, with times given by the test."""

from __future__ import annotations

import math
from typing import TypedDict, Unpack

import pytest
from grpc import StatusCode

from serving.ranking_client.call_attempts import CallAttempts
from serving.ranking_client.settings import ClientSettings


class Settings(TypedDict, total=False):
    max_attempts: int
    backoff_seconds: float
    hedge_after_seconds: float


def flight(**settings: Unpack[Settings]) -> CallAttempts:
    """A call that starts at 100 s and ends at 101 s; its random waits are exactly the mean."""
    return CallAttempts(ClientSettings(model="m", **settings), 100.0, 101.0, draw=half)


def half() -> float:
    return 0.5


def test_a_call_is_sent_at_once_and_once() -> None:
    call = flight()
    assert call.due == 100.0
    call.sent(100.0)
    assert call.due == math.inf


def test_unavailable_is_tried_again_after_waits_that_double() -> None:
    call = flight(max_attempts=3, backoff_seconds=0.1)
    call.sent(100.0)
    assert not call.failed(StatusCode.UNAVAILABLE, 100.0)
    assert call.due == pytest.approx(100.1)
    call.sent(100.1)
    assert not call.failed(StatusCode.UNAVAILABLE, 100.2)
    assert call.due == pytest.approx(100.4)
    call.sent(100.4)
    assert call.failed(StatusCode.UNAVAILABLE, 100.5)


def test_after_a_refusal_no_copy_is_sent_whatever_fails_next() -> None:
    call = flight(max_attempts=3, hedge_after_seconds=0.05)
    call.sent(100.0)
    call.sent(100.05)
    assert not call.failed(StatusCode.RESOURCE_EXHAUSTED, 100.06)
    assert call.failed(StatusCode.UNAVAILABLE, 100.07)


@pytest.mark.parametrize(("drawn", "wait"), [(0.0, 0.05), (0.999, 0.1499)])
def test_waits_are_drawn(drawn: float, wait: float) -> None:
    call = CallAttempts(ClientSettings(model="m", backoff_seconds=0.1), 0.0, 1.0, draw=lambda: drawn)
    call.sent(0.0)
    call.failed(StatusCode.UNAVAILABLE, 0.0)
    assert call.due == pytest.approx(wait)


def test_a_copy_that_a_stopping_server_cancelled_is_sent_again() -> None:
    call = flight(backoff_seconds=0.1)
    call.sent(100.0)
    assert not call.failed(StatusCode.CANCELLED, 100.0)
    assert call.due == pytest.approx(100.1)


def test_no_try_after_the_deadline() -> None:
    call = flight(backoff_seconds=0.1)
    call.sent(100.0)
    assert call.failed(StatusCode.UNAVAILABLE, 100.95)


@pytest.mark.parametrize(
    "code",
    [
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.INTERNAL,
        StatusCode.UNKNOWN,
    ],
)
def test_any_other_failure_is_final(code: StatusCode) -> None:
    call = flight(hedge_after_seconds=0.1)
    call.sent(100.0)
    call.sent(100.1)
    assert call.failed(code, 100.2)


@pytest.mark.parametrize("code", [StatusCode.RESOURCE_EXHAUSTED, StatusCode.NOT_FOUND])
def test_one_server_s_refusal_leaves_a_copy_in_flight_its_time(code: StatusCode) -> None:
    """The first copy's server has taken it, so a second server that is full, or lacks the version, must not end it."""
    call = flight(hedge_after_seconds=0.1)
    call.sent(100.0)
    call.sent(100.1)
    assert not call.failed(code, 100.15)
    assert call.due == math.inf
    assert call.failed(code, 100.2)


def test_not_found_is_tried_again_if_the_next_server_may_have_the_version() -> None:
    call = CallAttempts(
        ClientSettings(model="m", max_attempts=2, backoff_seconds=0.1), 100.0, 101.0, retries_not_found=True, draw=half
    )
    call.sent(100.0)
    assert not call.failed(StatusCode.NOT_FOUND, 100.0)
    assert call.due == pytest.approx(100.1)
    call.sent(100.1)
    assert call.failed(StatusCode.NOT_FOUND, 100.2)


def test_copies_leave_after_each_delay_up_to_the_last() -> None:
    call = flight(hedge_after_seconds=0.1, max_attempts=3)
    call.sent(100.0)
    assert call.due == pytest.approx(100.1)
    call.sent(100.1)
    assert call.due == pytest.approx(100.2)
    call.sent(100.2)
    assert call.due == math.inf


def test_a_hedged_call_is_lost_only_with_its_last_copy() -> None:
    call = flight(hedge_after_seconds=0.1, max_attempts=2)
    call.sent(100.0)
    call.sent(100.1)
    assert not call.failed(StatusCode.UNAVAILABLE, 100.2)
    assert call.failed(StatusCode.UNAVAILABLE, 100.3)


def test_a_failure_does_not_put_the_second_copy_off() -> None:
    call = flight(hedge_after_seconds=0.1, backoff_seconds=0.5)
    call.sent(100.0)
    call.failed(StatusCode.UNAVAILABLE, 100.01)
    assert call.due == pytest.approx(100.1)
