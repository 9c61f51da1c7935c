"""The simulated store: its logs, its ground truth, and its state from day to day."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.simulator import DayCounts, simulate
from pipeline.simulator.apps import NUM_PARTNERS
from pipeline.simulator.day_folders import LOGS, DayFolders
from pipeline.simulator.installs import install_delay, share_within
from pipeline.simulator.sampling import choose_distinct, weighted_table
from pipeline.simulator.store import Store

SIZES: dict[str, int] = {"num_days": 2, "impressions_per_day": 3000, "num_users": 300, "num_apps": 200}
COLUMNS = {
    "impressions": "impression_id request_id timestamp user_id app_id position page hour weekday",
    "installs": "user_id app_id timestamp",
    "users": "user_id country device language account_age_days installed_apps",
    "catalog": "app_id category developer language price rating num_downloads age_days size_mb",
}
DAY_1 = 1_767_225_600  # date -u -d 2026-01-01 +%s


def read_csv(out: Path, log: str, day: int) -> pd.DataFrame:
    parts = sorted((out / log / f"day-{day}").glob("part-*.csv"))
    return pd.concat([pd.read_csv(part) for part in parts], ignore_index=True)


def logs_as_bytes(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def installed_sets(out: Path, day: int) -> dict[str, set[str]]:
    users = read_csv(out, "users", day)
    return {user: set(apps.split("|")) for user, apps in zip(users.user_id, users.installed_apps, strict=True)}


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns P(a positive's score is above a negative's), computed from ranks."""
    ranks = pd.Series(scores).rank().to_numpy()
    positives, negatives = labels.sum(), (~labels).sum()
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


@pytest.fixture(scope="module")
def store_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("store")
    simulate(out, num_days=3, impressions_per_day=30_000, num_users=3000, num_apps=500)
    return out


def test_a_day_has_exactly_the_impressions_asked_for(tmp_path: Path) -> None:
    days: dict[int, DayCounts] = {}
    simulate(tmp_path, num_days=2, impressions_per_day=4321, num_users=50, num_apps=100, on_day=days.__setitem__)
    assert list(days) == [1, 2]
    for day, counts in days.items():
        rows = {log: read_csv(tmp_path, log, day) for log in LOGS}
        assert len(rows["impressions"]) == counts.num_impressions == 4321
        assert rows["impressions"].impression_id.tolist() == [f"{day}-{n}" for n in range(4321)]
        assert rows["impressions"].request_id.nunique() == counts.num_requests
        assert len(rows["installs"]) == counts.num_installs > 0
        assert len(rows["users"]) == counts.num_users == rows["users"].user_id.nunique()
        assert len(rows["catalog"]) == counts.num_apps == 100 == rows["catalog"].app_id.nunique()
        assert (tmp_path / f"impressions/day-{day}/_SUCCESS").read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalog", "impressions", "installs", "truth", "users"]


def test_a_day_larger_than_a_chunk_has_several_parts(tmp_path: Path) -> None:
    simulate(tmp_path, num_days=1, impressions_per_day=250_001, num_users=1000, num_apps=100)
    parts = sorted(path.name for path in (tmp_path / "impressions/day-1").iterdir())
    assert parts == ["_SUCCESS", "part-00000.csv", "part-00001.csv"]
    rows = read_csv(tmp_path, "impressions", 1)
    assert rows.impression_id.tolist() == [f"1-{n}" for n in range(250_001)]
    assert rows.timestamp.is_monotonic_increasing
    truth = pq.read_table(tmp_path / "truth/day-1.parquet", columns=["impression_id"])
    assert truth["impression_id"].to_pylist() == rows.impression_id.tolist()


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        simulate(tmp_path / name, seed=seed, **SIZES)  # type: ignore[arg-type]
    first, again, other = (logs_as_bytes(tmp_path / name) for name in "abc")
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first if "_SUCCESS" not in name)


def test_a_later_first_day_continues_the_same_store(tmp_path: Path) -> None:
    simulate(tmp_path / "whole", **{**SIZES, "num_days": 3})  # type: ignore[arg-type]
    simulate(tmp_path / "tail", first_day=3, **{**SIZES, "num_days": 1})  # type: ignore[arg-type]
    whole = logs_as_bytes(tmp_path / "whole")
    assert logs_as_bytes(tmp_path / "tail") == {name: whole[name] for name in whole if "day-3" in name}


def test_the_logs_have_their_columns_and_no_truth(store_dir: Path) -> None:
    for log, columns in COLUMNS.items():
        assert list(read_csv(store_dir, log, 1).columns) == columns.split()
    ratings = read_csv(store_dir, "catalog", 1)[["rating", "age_days"]]
    assert 0 < ratings.rating.isna().sum() < len(ratings) / 2
    assert ratings.age_days[ratings.rating.isna()].max() < 30


def test_impressions_are_consistent(store_dir: Path) -> None:
    rows = read_csv(store_dir, "impressions", 2)
    assert rows.timestamp.between(DAY_1 + 86_400, DAY_1 + 2 * 86_400 - 1).all()
    assert (rows.hour == rows.timestamp % 86_400 // 3600).all()
    assert set(rows.weekday) == {"fri"}  # 2026-01-02
    assert set(rows.page) == {"home", "search", "category", "similar"}
    requests = rows.groupby("request_id")
    for column in ("timestamp", "user_id", "page"):
        assert (requests[column].nunique() == 1).all()
    assert (rows.position == requests.cumcount() + 1).all()
    assert rows.position.max() == 10
    assert not rows.duplicated(["request_id", "app_id"]).any()
    assert set(rows.app_id) <= set(read_csv(store_dir, "catalog", 2).app_id)


def test_no_user_is_shown_an_app_that_is_installed(store_dir: Path) -> None:
    for day in (1, 2, 3):
        installed = installed_sets(store_dir, day)
        rows = read_csv(store_dir, "impressions", day)
        assert not any(app in installed[user] for user, app in zip(rows.user_id, rows.app_id, strict=True))


def test_what_a_user_installs_is_on_the_phone_the_next_day(store_dir: Path) -> None:
    installs, before, after = (
        read_csv(store_dir, "installs", 1),
        installed_sets(store_dir, 1),
        installed_sets(store_dir, 2),
    )
    once = installs[~installs.user_id.duplicated(keep=False)]
    once = once[once.user_id.isin(after)]
    share = np.mean([app in after[user] for user, app in zip(once.user_id, once.app_id, strict=True)])
    assert len(once) > 100
    assert share > 0.97  # the other apps retired overnight
    sizes = [len(apps) for apps in [*before.values(), *after.values()]]
    assert max(sizes) <= 25
    assert 10 < np.mean(sizes) < 20


def test_labels_can_be_joined_within_an_hour(store_dir: Path) -> None:
    rows = read_csv(store_dir, "impressions", 1)
    installs = pd.concat([read_csv(store_dir, "installs", day) for day in (1, 2)])
    times: dict[tuple[str, str], list[int]] = {}
    for user, app, time in installs.itertuples(index=False):
        times.setdefault((user, app), []).append(time)
    impressions = zip(rows.user_id, rows.app_id, rows.timestamp, strict=True)
    label = np.array(
        [any(0 <= t - time <= 3600 for t in times.get((user, app), ())) for user, app, time in impressions]
    )
    assert 0.03 < label.mean() < 0.15
    truth = pq.read_table(store_dir / "truth/day-1.parquet").to_pandas()
    drawn = truth.is_installed.to_numpy()
    assert 0.01 < 1 - label[drawn].mean() < 0.06  # later than an hour: 5 % * exp(-0.5) = 3 %
    assert label[~drawn].mean() < 0.005  # the same app shown twice, or an organic install
    assert drawn.mean() == pytest.approx(truth.probability.mean(), abs=0.006)


def test_the_label_is_added_on_request_and_changes_nothing_else(tmp_path: Path) -> None:
    simulate(tmp_path / "without", **SIZES)  # type: ignore[arg-type]
    simulate(tmp_path / "with", with_label=True, **SIZES)  # type: ignore[arg-type]
    for day in (1, 2):
        labelled = read_csv(tmp_path / "with", "impressions", day)
        truth = pq.read_table(tmp_path / "with" / "truth" / f"day-{day}.parquet").to_pandas()
        assert labelled.pop("installed").tolist() == truth.is_installed.astype(int).tolist()
        assert 0 < truth.is_installed.sum() < len(truth)
        pd.testing.assert_frame_equal(labelled, read_csv(tmp_path / "without", "impressions", day))
    unlabelled = logs_as_bytes(tmp_path / "without")
    others = {name: text for name, text in unlabelled.items() if not name.startswith("impressions/day-")}
    assert others.items() <= logs_as_bytes(tmp_path / "with").items()


def test_installs_happen_on_their_day_in_order_and_over_midnight(store_dir: Path) -> None:
    shown: set[tuple[str, str]] = set()
    for day in (1, 2, 3):
        installs = read_csv(store_dir, "installs", day)
        start = DAY_1 + (day - 1) * 86_400
        assert installs.timestamp.between(start, start + 86_399).all()
        assert installs.timestamp.is_monotonic_increasing
        rows = read_csv(store_dir, "impressions", day)
        today = set(zip(rows.user_id, rows.app_id, strict=True))
        pairs = set(zip(installs.user_id, installs.app_id, strict=True))
        assert pairs - today - shown  # organic
        if day > 1:
            assert (pairs & shown) - today  # caused by an impression before midnight
        shown = today


def test_the_truth_is_the_sum_of_parts_that_both_matter(store_dir: Path) -> None:
    truth = pq.read_table(store_dir / "truth/day-3.parquet").to_pandas()
    assert truth.impression_id.tolist() == read_csv(store_dir, "impressions", 3).impression_id.tolist()
    parts = truth.filter(like="logit_").astype(float)
    logit = parts.sum(axis=1).to_numpy()
    np.testing.assert_allclose(truth.probability, 1 / (1 + np.exp(-logit)), rtol=1e-4)
    label = truth.is_installed.to_numpy()
    oracle = auc(logit, label)
    assert 0.80 < oracle < 0.88
    for part in ("logit_taste", "logit_memorized"):
        assert auc(logit - parts[part].to_numpy(), label) < oracle - 0.02, part
    assert 0.05 < label.mean() < 0.10


def test_an_exception_belongs_to_a_pair_of_apps(store_dir: Path) -> None:
    rows = read_csv(store_dir, "impressions", 1)
    memorized = pq.read_table(store_dir / "truth/day-1.parquet")["logit_memorized"].to_numpy()
    assert 0.2 < (memorized > 0).mean() < 0.5
    assert 0.1 < (memorized < 0).mean() < 0.4
    apps = Store(seed=1, num_users=3000, num_apps=500).apps
    name = [f"com.store.app{number}" for number in apps.number]
    exceptions = {
        name[app]: {name[apps.partner[app, k]]: float(apps.partner_logit[app, k]) for k in range(NUM_PARTNERS)}
        for app in range(500)
    }
    installed = installed_sets(store_dir, 1)
    for user, app, value in zip(rows.user_id[:3000], rows.app_id, memorized, strict=False):
        expected = sum(logit for partner, logit in exceptions[app].items() if partner in installed[user])
        assert value == pytest.approx(expected, abs=1e-4)


def test_ids_are_never_reused_and_the_state_does_not_grow() -> None:
    store = Store(seed=1, num_users=200, num_apps=150)

    def state_bytes() -> int:
        return sum(a.nbytes for part in (store.apps, store.users) for a in vars(part).values() if hasattr(a, "nbytes"))

    size = state_bytes()
    gone: dict[str, set[int]] = {"apps": set(), "users": set()}
    for _ in range(60):
        before = {"apps": set(store.apps.number.tolist()), "users": set(store.users.number.tolist())}
        store.advance()
        after = {"apps": set(store.apps.number.tolist()), "users": set(store.users.number.tolist())}
        for kind, number in (("apps", 1), ("users", 2)):  # 1 % of 126 apps that are not hubs, 1 % of 200 users
            assert len(after[kind] - before[kind]) == len(before[kind] - after[kind]) == number
            gone[kind] |= before[kind] - after[kind]
            assert not gone[kind] & after[kind]
    assert state_bytes() == size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_days": 0}, "`num_days` must be at least 1. Received: 0."),
        ({"impressions_per_day": -5}, "`impressions_per_day` must be at least 1. Received: -5."),
        ({"num_users": 0}, "`num_users` must be at least 1. Received: 0."),
        ({"num_apps": 99}, "`num_apps` must be at least 100. Received: 99."),
        ({"first_day": 0}, "`first_day` must be at least 1. Received: 0."),
        ({"seed": -1}, "`seed` must be at least 0. Received: -1."),
        ({"format": "xml"}, "`format` must be one of csv, tsv, jsonl, parquet, tfrecord. Received: xml."),
        ({"format": "parquet", "compress": True}, "`compress` must be off with the format parquet"),
    ],
)
def test_a_bad_argument_is_named(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        simulate(tmp_path / "out", **{**SIZES, **arguments})
    assert not (tmp_path / "out").exists()


def test_an_existing_day_is_left_alone(tmp_path: Path) -> None:
    simulate(tmp_path, first_day=2, **{**SIZES, "num_days": 1})  # type: ignore[arg-type]
    before = logs_as_bytes(tmp_path)
    with pytest.raises(ValueError, match=r"must be new\. Received: day 2, of which .*catalog/day-2 exists"):
        simulate(tmp_path, **SIZES)  # type: ignore[arg-type]
    assert logs_as_bytes(tmp_path) == before


def test_a_file_cannot_be_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match="`out` must be a folder or not exist yet"):
        simulate(tmp_path / "out", **SIZES)  # type: ignore[arg-type]


def test_a_failed_day_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="boom"), DayFolders(tmp_path, 1, "csv", compress=False) as folders:  # noqa: PT012 (the day fails after it has written)
        folders.write("impressions", pa.table({"a": ["x"]}))
        raise KeyError("boom")
    assert list(tmp_path.iterdir()) == []


def test_weighted_table_counts_in_proportion() -> None:
    table = weighted_table(np.random.default_rng(1), np.array([1.0, 0.0, 2.0, 5.0]), 80)
    assert np.bincount(table).tolist() == [10, 0, 20, 50]


def test_choose_distinct_skips_repeats_and_excluded_apps() -> None:
    candidates = np.array([[3, 3, 1, 2, 0], [4, 5, 4, 5, 4]], dtype=np.int32)
    excluded = np.array([[1, -1], [5, 0]], dtype=np.int32)
    sizes = np.array([2, 4])
    chosen = choose_distinct(np.random.default_rng(1), candidates, sizes, num_apps=6, excluded=excluded)
    assert chosen[0].tolist() == [3, 2, -1, -1]
    assert chosen[1, 0] == 4
    assert sorted(chosen[1].tolist()) == [1, 2, 3, 4]  # filled up with all remaining apps


@pytest.mark.parametrize("seconds", [60, 3600])
def test_the_share_of_installs_within_a_time_is_that_of_the_drawn_ones(seconds: int) -> None:
    within = install_delay(np.random.default_rng(1), 100_000) <= seconds
    assert share_within(seconds) == pytest.approx(within.mean(), abs=3 * 0.5 / 100_000**0.5)
