"""A simulated day that is rewritten with a hot user and a hot app."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.hot_keys import HOT_APP, HOT_USER, Shares, rewrite_day
from pipeline.simulator import simulate

Rows = list[dict[str, str]]


def rows(store: Path, log: str) -> Rows:
    found: Rows = []
    for part in sorted((store / log / "day-1").glob("part-*.csv")):
        with part.open(encoding="utf-8", newline="") as file:
            found += csv.DictReader(file)
    return found


@pytest.fixture(scope="module")
def even(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("even")
    simulate(folder, num_days=1, impressions_per_day=4_000, num_users=200, num_apps=100)
    return folder


@pytest.fixture(scope="module")
def hot(even: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hot")
    rewrite_day(even, folder, 1, Shares(0.3, 0.1))
    return folder


@pytest.mark.parametrize("log", ["impressions", "installs"])
def test_the_hot_keys_have_their_shares(even: Path, hot: Path, log: str) -> None:
    before, after = rows(even, log), rows(hot, log)
    assert len(after) == len(before)
    of_user = [row["user_id"] == HOT_USER for row in after]
    of_app = [row["app_id"] == HOT_APP for row in after]
    assert sum(of_user) / len(after) == pytest.approx(0.3, abs=0.02)
    assert sum(of_app) == len(after) // 10
    # The shares are independent of each other, and all other rows and columns are as they were.
    both = sum(user and app for user, app in zip(of_user, of_app, strict=True))
    assert both / len(after) == pytest.approx(0.03, abs=0.01)
    for row, old, user, app in zip(after, before, of_user, of_app, strict=True):
        assert row == old | ({"user_id": HOT_USER} if user else {}) | ({"app_id": HOT_APP} if app else {})


def test_a_request_is_one_users_and_shows_an_app_once(hot: Path) -> None:
    impressions = rows(hot, "impressions")
    users = {(row["request_id"], row["user_id"]) for row in impressions}
    assert len(users) == len({row["request_id"] for row in impressions})
    shown = Counter((row["request_id"], row["app_id"]) for row in impressions)
    assert set(shown.values()) == {1}


def test_the_hot_keys_have_rows_in_the_tables(even: Path, hot: Path) -> None:
    for table, key, name in (("users", "user_id", HOT_USER), ("catalog", "app_id", HOT_APP)):
        before, after = rows(even, table), rows(hot, table)
        assert after == [*before, before[0] | {key: name}]


def test_a_day_is_complete_when_its_mark_is_there(hot: Path) -> None:
    assert (hot / "impressions" / "day-1" / "_SUCCESS").exists()


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        (Shares(1.0, 0.0), r"^the hot user's share must be at least 0 and less than 1\. Received: 1$"),
        (Shares(0.0, 0.2), r"^the hot app's share must be 0 to 0\.1: .* once\. Received: 0\.2$"),
    ],
)
def test_other_shares_are_refused(shares: Shares, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        rewrite_day(tmp_path, tmp_path, 1, shares)
