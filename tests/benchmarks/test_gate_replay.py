"""Good days pass and declines are stopped: the benchmark's short form, with a fixed seed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks import gate_replay
from benchmarks.gate_replay import MAX_LOSS, largest_loss, noise_of, refused_share
from transform.config.quality import Quality


@pytest.mark.parametrize("rows", [4_000, 30_000])
def test_of_a_thousand_good_days_at_most_five_are_refused(rows: int) -> None:
    draw = np.random.default_rng(7)
    assert refused_share(noise_of(rows, draw), 1_000, draw, Quality()) <= 0.005


@pytest.mark.parametrize("decline", [0.002, 0.005])
def test_a_decline_is_stopped_before_too_much_is_lost(decline: float) -> None:
    draw = np.random.default_rng(7)
    noise = noise_of(20_000, draw)
    assert max(largest_loss(noise, decline, draw, Quality()) for _ in range(20)) < MAX_LOSS


def test_without_a_bound_a_decline_goes_on() -> None:
    """Shows that the test above would detect a gate that does not stop a decline."""
    draw = np.random.default_rng(7)
    lax = Quality(max_auc_loss=1.0, max_logloss_rise=1.0)
    assert largest_loss(noise_of(20_000, draw), 0.002, draw, lax) > 2 * MAX_LOSS


def test_the_share_is_of_the_days_that_were_drawn() -> None:
    """1,999 days are one stretch of 1,000: the same random numbers give the same share, not half of it."""
    strict = Quality(max_auc_loss=1e-9, max_logloss_rise=1e-9)
    noise = noise_of(4_000, np.random.default_rng(7))
    one, nearly_two = (refused_share(noise, number, np.random.default_rng(7), strict) for number in (1_000, 1_999))
    assert one == nearly_two > 0


@pytest.mark.parametrize("number", ["0", "-1000", "500", "1500"])
def test_good_days_are_whole_stretches(
    number: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gate_replay", "--good-days", number])
    with pytest.raises(SystemExit) as ended:
        gate_replay.main()
    assert ended.value.code == 2
    assert f"--good-days must be a positive multiple of 1,000. Received: {number}" in capsys.readouterr().err
