"""The table of good days, of eight kinds: none of them is a reason to stop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.good_days import Day
from pipeline.simulator.day import _HOUR_WEIGHT
from pipeline.simulator.names import CATEGORIES, COUNTRY_NAMES, DEVICE_NAMES, PAGES
from tests.components.data_validation.damage import change_table, generator, of_user, with_column
from tests.soak.days.market import NEW_COUNTRY, ROWS, Market


@dataclasses.dataclass(frozen=True)
class GoodDay:
    """A good day: its number in the list, a description, and the function that draws it."""

    number: str
    kind: str
    draw: Callable[[Market], Day]


def _of(market: Market, condition: np.ndarray, factor: float) -> np.ndarray:
    """Returns `factor` where the condition holds, else 1, for the impressions of the pool."""
    return np.where(condition, factor, 1.0)


def _known(market: Market, factor: np.ndarray) -> np.ndarray:
    return np.asarray(market.is_known * factor)


def _price(market: Market) -> np.ndarray:
    return np.asarray(market.store.apps.price[market.pool.app])


def _holiday(market: Market) -> Day:
    at_hour = market.pool.hour
    sunday = _HOUR_WEIGHT * np.where(np.isin(np.arange(24), (11, 12, 13, 14)), 0.4, 1)
    weight = (np.roll(sunday, 2) / (_HOUR_WEIGHT * np.where(np.isin(np.arange(24), (21, 22, 23, 0)), 0.4, 1)))[at_hour]
    return market.day(1.25 * ROWS, weight=_known(market, weight), odds=1.1)


def _holiday_of_a_country(market: Market) -> Day:
    users, apps = market.store.users, market.store.apps
    there = users.country[market.pool.user] == COUNTRY_NAMES.index("us")
    games = [i for i, name in enumerate(CATEGORIES) if name.startswith("games")]
    is_game = np.isin(apps.category[market.pool.app], games)
    weight = np.where(there, 1.5 * (1 + 0.4 * is_game), 1.0)
    return market.day(1.09 * ROWS, weight=_known(market, weight), odds=_of(market, there, 1.15))


def _people_away(market: Market) -> Day:
    phones = [i for i, name in enumerate(DEVICE_NAMES) if "phone" in name]
    on_phone = np.isin(market.store.users.device[market.pool.user], phones)
    share = on_phone[market.is_known].mean()
    factor = (share + 0.1) / share / ((1 - share - 0.1) / (1 - share))
    return market.day(0.7 * ROWS, weight=_known(market, _of(market, on_phone, factor)), odds=0.92)


def _sale(market: Market) -> Day:
    apps = market.store.apps
    reduced = (apps.price > 0) & (np.random.default_rng(3).random(apps.num_apps) < 0.3)
    day = market.day(odds=_of(market, reduced[market.pool.app], 2.2))
    return _with_price(day, {f"com.store.app{n}": 0.0 for n in apps.number[reduced]}, 1.0)


def _all_paid_apps_free(market: Market) -> Day:
    day = market.day(odds=_of(market, _price(market) > 0, 2.2))
    return change_table("catalog", "price", lambda column: [0.0] * len(column))(day)


def _with_price(day: Day, prices: dict[str, float], factor: float) -> Day:
    pairs = zip(day.catalog["app_id"].to_pylist(), day.catalog["price"].to_pylist(), strict=True)
    return change_table("catalog", "price", lambda _: [prices.get(app, price * factor) for app, price in pairs])(day)


def _category_featured(market: Market) -> Day:
    apps = market.store.apps
    shares = np.bincount(apps.category[market.pool.app[market.is_known]], minlength=len(CATEGORIES))
    chosen = int(np.argmin(np.abs(shares / shares.sum() - 0.08)))
    of_category = apps.category[market.pool.app] == chosen
    day = market.day(weight=_known(market, 1 + 5.0 * of_category), odds=_of(market, of_category, 1.4))
    halved = {
        f"com.store.app{n}": price / 2
        for n, price in zip(apps.number[apps.category == chosen], apps.price[apps.category == chosen], strict=True)
    }
    return _with_price(day, halved, 1.0)


def _evening_sale(market: Market) -> Day:
    evening = market.pool.hour >= 18
    odds = _of(market, evening & (_price(market) > 0), 1.9)
    return market.day(1.28 * ROWS, weight=_known(market, _of(market, evening, 1.6)), odds=odds)


def _three_times_the_users(market: Market) -> Day:
    return market.day(3 * ROWS, weight=(~market.is_abroad).astype(float))


def _a_quarter_of_the_users(market: Market) -> Day:
    few = market.store.users.number[market.pool.user] % 20 < 2
    return market.day(0.25 * ROWS, weight=_known(market, few.astype(float)))


def _new_country(market: Market, odds: float = 1.0, share: float = 0.04) -> Day:
    natural = market.is_abroad.sum() / market.is_known.sum()
    weight = market.is_known + market.is_abroad * share / (1 - share) / natural
    return market.day(ROWS / (1 - share), weight=weight, odds=_of(market, market.is_abroad, odds))


def _of_new_country(day: Day) -> pa.Array:
    return pc.equal(day.users["country"].combine_chunks(), COUNTRY_NAMES[NEW_COUNTRY])


def _speaks(day: Day, language: str) -> Day:
    return change_table(
        "users", "language", lambda column: pc.if_else(_of_new_country(day), language, column.combine_chunks())
    )(day)


def _young_accounts(market: Market) -> Day:
    day = _speaks(_new_country(market), "en")
    empty = np.asarray(_of_new_country(day)) & (generator().random(len(day.users)) < 0.7)
    lists = [[] if e else apps for e, apps in zip(empty, day.users["installed_apps"].to_pylist(), strict=True)]
    time = np.asarray(day.log["timestamp"])
    there = of_user(day, "country") == COUNTRY_NAMES[NEW_COUNTRY]
    moved = np.where(there, time // 86_400 * 86_400 + (time + 7 * 3600) % 86_400, time)
    log = with_column(with_column(day.log, "timestamp", moved), "hour", moved // 3600 % 24)
    apps = pa.array(lists, day.users["installed_apps"].type)
    return dataclasses.replace(day, log=log, users=with_column(day.users, "installed_apps", apps))


def _other_pages(market: Market) -> Day:
    factors = {"home": 0.8, "search": 1.6, "category": 0.8, "similar": 0.8}
    return market.day(weight=_known(market, np.array([factors[name] for name in PAGES])[market.pool.page]))


def _new_page(market: Market) -> Day:
    day = market.day()
    _, request = np.unique(day.log["request_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    chosen = pa.array((generator().random(len(day.log)) < 0.07 / 0.45)[request])
    page = day.log["page"].combine_chunks()
    chosen = pc.and_(chosen, pc.equal(page, "home"))
    return dataclasses.replace(day, log=with_column(day.log, "page", pc.if_else(chosen, "collections", page)))


def _new_apps(market: Market) -> Day:
    apps = market.store.apps
    hubs = np.arange(apps.num_apps) < apps.num_hubs
    fresh = ~hubs & (np.random.default_rng(4).random(apps.num_apps) < 0.06)
    day = market.day(odds=_of(market, fresh[market.pool.app], 0.8))
    names = {f"com.store.app{n}": f"com.store.new{n}" for n in apps.number[fresh].tolist()}
    is_new = pa.array([app in names for app in day.catalog["app_id"].to_pylist()])
    catalog = with_column(day.catalog, "app_id", [names.get(a, a) for a in day.catalog["app_id"].to_pylist()])
    downloads = pa.array(generator().integers(0, 100, len(catalog)))
    values = {"num_downloads": downloads, "rating": pa.scalar(None, pa.float64()), "age_days": 0}
    for column, value in values.items():
        catalog = with_column(catalog, column, pc.if_else(is_new, value, catalog[column].combine_chunks()))
    log = with_column(day.log, "app_id", [names.get(app, app) for app in day.log["app_id"].to_pylist()])
    return dataclasses.replace(day, log=log, catalog=catalog)


def _blockbuster(market: Market) -> Day:
    day, rng = market.day(), generator()
    chosen = (np.asarray(day.log["position"]) <= 3) & (rng.random(len(day.log)) < 0.03 / 0.34)
    app = pc.if_else(pa.array(chosen), "com.store.hit", day.log["app_id"].combine_chunks())
    label = np.where(chosen, rng.random(len(chosen)) < 0.25, np.asarray(day.log["label"])).astype(np.int64)
    log = with_column(with_column(day.log, "app_id", app), "label", label)
    row = with_column(day.catalog.slice(0, 1), "app_id", ["com.store.hit"])
    row = with_column(with_column(row, "age_days", pa.array([0])), "num_downloads", pa.array([0]))
    return dataclasses.replace(day, log=log, catalog=pa.concat_tables([day.catalog, row]))


def _noise(market: Market) -> Day:
    rng = np.random.default_rng(5)
    by_country = np.exp(rng.normal(0, 0.1, len(COUNTRY_NAMES)))
    odds = by_country[market.store.users.country[market.pool.user]] * np.exp(rng.normal(0, 0.04))
    return market.day(ROWS * np.exp(rng.normal(0, 0.08)), odds=odds)


GOOD_DAYS = (
    GoodDay("1", "a holiday in all countries", _holiday),
    GoodDay("2", "a holiday in the largest country", _holiday_of_a_country),
    GoodDay("3", "a long holiday, people are away", _people_away),
    GoodDay("4", "a sale of paid apps", _sale),
    GoodDay("5", "one category featured", _category_featured),
    GoodDay("6", "a sale in the evening", _evening_sale),
    GoodDay("7", "three times as many users", _three_times_the_users),
    GoodDay("8", "three times as many requests", lambda m: m.day(2.7 * ROWS, odds=0.9)),
    GoodDay("9", "a quarter of the users", _a_quarter_of_the_users),
    GoodDay("10", "a quarter of the requests", lambda m: m.day(0.25 * ROWS)),
    GoodDay("11", "a new country of 4 %", lambda m: _speaks(_new_country(m), "en")),
    GoodDay("12", "a new country with a language of its own", lambda m: _speaks(_new_country(m, 0.5), "kk")),
    GoodDay("13", "a new country of new accounts", _young_accounts),
    GoodDay("14", "another mix of pages", _other_pages),
    GoodDay("15", "a new page", _new_page),
    GoodDay("16", "5 % of the catalog new", _new_apps),
    GoodDay("17", "a blockbuster", _blockbuster),
    GoodDay("18", "a plain day", lambda m: m.day(seed=1)),
    GoodDay("19", "a plain day of a weekend", lambda m: m.day(1.3 * ROWS, seed=2, is_weekend=True)),
    GoodDay("20", "a plain day with noise", _noise),
    GoodDay("21", "a new country of 15 %", lambda m: _speaks(_new_country(m, share=0.15), "tr")),
    GoodDay("22", "all paid apps free for a day", _all_paid_apps_free),
)
