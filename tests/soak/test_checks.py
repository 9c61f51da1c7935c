"""What the campaigns check, by hand; their short forms are among the other tests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from components.gate_records import Finding
from tests.e2e import store
from tests.soak import ten_days
from tests.soak.abandoned_calls import Calls
from tests.soak.bad_days import received
from tests.soak.days.bad import BAD_DAYS
from tests.soak.kill_series import Kill, Moment, Series
from tests.soak.kills import missed_nodes, problems_of
from tests.soak.stage_kills import Day
from tests.soak.stage_kills import Moment as StageMoment
from tests.soak.tf_serving_tests import options_for
from tests.soak.watcher import Watched


def series_of(killed: Sequence[str], missed: Sequence[str] = ()) -> Series:
    """A series with kills in some nodes, and some moments that had not come."""
    kills = tuple(Kill(1, 1.0, node) for node in killed)
    return Series(kills, tuple(Moment(node, 0.5) for node in missed), (2,), Watched(100, 12.0, {}, {}), 60.0, ())


@pytest.mark.parametrize(
    ("days", "loss", "error"),
    [
        ("10", "0.002", "Received: 0.018, by 10 days with a loss of 0.002"),
        ("5", "0.005", "Received: 0.02, by 5 days with a loss of 0.005"),  # the noise may leave 0.0198
    ],
)
def test_a_series_that_cannot_fail_is_refused(
    days: str, loss: str, error: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ten_days", "--days", days, "--losses", "0", loss])
    with pytest.raises(SystemExit) as ended:
        ten_days.main()
    assert ended.value.code == 2
    assert error in capsys.readouterr().err


def test_a_bad_day_counts_as_found_only_where_its_cause_is_named() -> None:
    stop = Finding("data_gate", "drift.min_rows_ratio", "stop", "examples", 1.0, 2.0, 3, "too few")
    warning = Finding("data_gate", "drift.reference_spans", "warn", "files of users", None, None, None, "an old table")
    assert received([stop, warning], "^files of users: an old") == ("stop", "an old table")
    assert received([warning], "old table") == ("warn", "an old table")
    assert received([stop], "old table") == ("silent", "(stop) examples: too few")
    assert {int(case.number.rstrip("b")) for case in BAD_DAYS} | {15} == set(range(1, 31))


def test_a_push_that_was_not_killed_is_tried_again() -> None:
    moments = [Moment("trainer", 1.0), Moment("push", 0.1)]
    assert missed_nodes(moments, series_of(["trainer", "push"])) == []
    assert missed_nodes(moments, series_of(["trainer", "(end)"])) == ["push"]
    assert missed_nodes(moments, series_of(["trainer"], missed=["push"])) == ["push"]
    assert missed_nodes(moments[:1], series_of([], missed=["trainer"])) == ["trainer"]


def test_as_many_pushes_are_killed_as_there_are_series() -> None:
    nine = ["trainer"] * 9
    assert problems_of([series_of([*nine, "push"]), series_of([*nine, "push"])], 20) == []
    assert problems_of([series_of([*nine, "push"]), series_of([*nine, "(end)"])], 20) == [
        "the push must be killed 2 times. Received: 1"
    ]
    assert problems_of([series_of([*nine, "push"]), series_of(nine)], 20) == [
        "there must be 20 kills. Received: 19",
        "the push must be killed 2 times. Received: 1",
    ]


def test_each_client_must_have_abandoned_calls() -> None:
    assert Calls(answered=5, expired=7, cancelled=5).problems(5) == []
    assert Calls(answered=50, expired=0, cancelled=50).problems(5) == [
        "each client must have a call of its kind per swap, 5. Received: 0"
    ]
    assert Calls(5, 5, 5, ["StatusCode.INTERNAL: x"]).problems(5) == [
        "no call must fail unless its client gives up. Received: 1, such as ['StatusCode.INTERNAL: x']"
    ]


@pytest.mark.slow
def test_a_moment_of_no_task_is_an_error(tmp_path: Path) -> None:
    day = Day("store", tmp_path / "store", store.CONFIG, tmp_path, 1)
    with pytest.raises(ValueError, match=r"must be one of .*'example_gen'.* Received: \['late_labels'\]"):
        next(day.kills([StageMoment("example_gen", "x"), StageMoment("late_labels", "x")]))


def test_tf_serving_s_flags_become_this_server_s_options() -> None:
    flags = ["--port=8500", "--model_name=m", "--model_base_path=/m", "--rest_api_timeout_in_ms=1500"]
    channel = "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb"
    expected = ["--settle-seconds", "0", "--model", "m=/m", "--connection-age-seconds", "2.0"]
    expected += ["--grpc-port", "8500", "--timeout-seconds", "1.5"]
    assert options_for([*flags, channel, "--enable_batching=true"]) == expected


@pytest.mark.parametrize(
    "flag", ["--grpc_channel_arguments=grpc.max_connection_idle_ms=1", "--flush_filesystem_caches=1"]
)
def test_a_flag_without_a_row_is_not_passed_over(flag: str) -> None:
    with pytest.raises(KeyError):
        options_for([flag])
