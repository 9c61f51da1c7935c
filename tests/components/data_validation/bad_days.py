"""The bad days for the data gate: how a simulated store's day is damaged, and the rule that detects it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.good_days import Day
from tests.components.data_validation.damage import (
    SECONDS_PER_HOUR,
    change_log,
    change_table,
    generator,
    hours,
    ids_anew,
    keep_rows,
    lose_labels,
    lose_values,
    of_user,
    permuted,
    requests_again,
    rowwise,
    with_column,
)


@dataclasses.dataclass(frozen=True)
class BadDay:
    """A bad day.

    Attributes:
      kind: A description.
      breaks: Returns the damaged day.
      rule: The rule that detects it.
      subject: The finding's subject.
      says: A part of the finding's sentence.
      severity: The finding's severity; `warn` if the run must not be stopped.
    """

    kind: str
    breaks: Callable[[Day], Day]
    rule: str
    subject: str
    says: str = ""
    severity: str = "stop"


def _half_upper(day: Day) -> list[str]:
    return [app.upper() if i % 2 else app for i, app in enumerate(day.log["app_id"].to_pylist())]


def _users_a_day_late(day: Day) -> Day:
    """Simulates a users table written after the impressions: it has the apps that users installed on the day."""
    installed = {(u, a) for u, a, y in rowwise(day, "user_id", "app_id", "label") if y}
    apps: dict[str, list[str]] = {}
    for user, app in sorted(installed):
        apps.setdefault(user, []).append(app)
    lists = [
        [*before, *apps.get(user, [])]
        for user, before in zip(day.users["user_id"].to_pylist(), day.users["installed_apps"].to_pylist(), strict=True)
    ]
    return dataclasses.replace(day, users=with_column(day.users, "installed_apps", pa.array(lists)))


def _all_scores(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Day], Day]:
    return lambda day: dataclasses.replace(day, scores=change(day.scores))


def _from_table(name: str, column: str, other: str) -> Callable[[Day], Day]:
    def breaks(day: Day) -> Day:
        table = getattr(day, name)
        return dataclasses.replace(
            day, **{name: with_column(with_column(table, column, table[other]), other, table[column])}
        )

    return breaks


def _category_of_label(day: Day) -> Day:
    """Simulates a page logged when the user leaves: users who installed the app are on the app's own page."""
    pages = ["similar" if y else page for page, y in rowwise(day, "page", "label")]
    return dataclasses.replace(day, log=with_column(day.log, "page", pages))


def _sale(day: Day) -> Day:
    label = np.asarray(day.log["label"])
    more = generator().random(len(label)) < day.scores * 0.6
    return dataclasses.replace(day, log=with_column(day.log, "label", np.maximum(label, more.astype(np.int64))))


#: The required cases; a kind begins with the number of its requirement.
BAD_DAYS = [
    BadDay(
        "16: half of the catalog keys unmatched", change_log(app_id=_half_upper), "max_unmatched_increase", "catalog"
    ),
    BadDay("16: permuted prices", change_table("catalog", "price", permuted), "min_agreement", "price"),
    BadDay(
        "16: shuffled installed_apps",
        change_table("users", "installed_apps", permuted),
        "min_agreement",
        "installed_apps",
    ),
    BadDay(
        "16: hours shifted by 9",
        change_log(hour=lambda day: (np.asarray(day.log["hour"]) + 9) % 24),
        "divergence_floor",
        "hour",
    ),
    BadDay(
        "16: timestamps shifted by 9 hours",
        change_log(timestamp=lambda day: np.asarray(day.log["timestamp"]) + 9 * SECONDS_PER_HOUR),
        "divergence_floor",
        "hour of timestamp",
    ),
    BadDay(
        "16: a numeric feature times 1,000",
        change_table("catalog", "size_mb", lambda column: pc.multiply(column, 1000.0)),
        "divergence_floor",
        "size_mb",
    ),
    BadDay(
        "14: 30 % of the installs missing",
        lose_labels(lambda day: generator().random(len(day.log)) < 0.3),
        "max_miscalibration",
        "label",
        "labels are missing: the baseline predicts ",
    ),
    BadDay(
        "14: the installs' log ends at 18 h",
        lose_labels(lambda day: hours(day) >= 18),
        "min_label_ratio",
        "label by hour",
        "no impression of the hours 18, 19, 20, 21, 22, 23 (UTC) has label 1",
    ),
    BadDay("14: the log ends at 18 h", keep_rows(lambda day: hours(day) < 18), "divergence_floor", "hour of timestamp"),
    BadDay(
        "14: one country's labels gone",
        lose_labels(lambda day: of_user(day, "country") == "us"),
        "min_label_ratio",
        "label where country = us",
    ),
    BadDay("11: a users table one day late", _users_a_day_late, "max_label_auc_increase", "app_id in installed_apps"),
    BadDay(
        "11: rows that fall to a ninth",
        keep_rows(lambda day: np.arange(len(day.log)) % 9 == 0),
        "min_rows_ratio",
        "examples",
    ),
    BadDay(
        "11: the share of label 1 is halved",
        lose_labels(lambda day: generator().random(len(day.log)) < 0.5),
        "min_label_ratio",
        "label",
    ),
]


#: Values that vanish, in features of all kinds.
PRESENCE = [
    BadDay(
        "installed_apps lost of 61 % of the users",
        change_table("users", "installed_apps", lose_values(0.61)),
        "max_presence_change",
        "installed_apps",
        "percentage points from that of an earlier span (drift.max_presence_change: 0.05). Received: ",
    ),
    BadDay(
        "a tenth of the pages lost",
        change_log(page=lambda d: lose_values(0.1)(d.log["page"])),
        "max_presence_change",
        "page",
    ),
    BadDay(
        "a tenth of the ids lost",
        change_log(user_id=lambda d: lose_values(0.1)(d.log["user_id"])),
        "max_presence_change",
        "user_id",
    ),
    BadDay(
        "a tenth of the sizes lost",
        change_table("catalog", "size_mb", lose_values(0.1)),
        "max_presence_change",
        "size_mb",
    ),
]


#: Cases invented independently of the rules.
INVENTED = [
    BadDay("half of the requests again under new ids", requests_again, "max_repeated_rows", "rows of one span"),
    BadDay(
        "six hours of the night missing",
        keep_rows(lambda day: (hours(day) < 1) | (hours(day) > 6)),
        "reference_spans",
        "hour of timestamp",
        "no example is of the hours 01, 02, 03, 04, 05, 06 (UTC)",
        severity="warn",
    ),
    BadDay(
        "a clock that is an hour off",
        change_log(
            timestamp=lambda day: np.asarray(day.log["timestamp"]) + SECONDS_PER_HOUR,
            hour=lambda day: (np.asarray(day.log["hour"]) + 1) % 24,
        ),
        "reference_spans",
        "hour of timestamp",
        "a clock may be an hour off",
        severity="warn",
    ),
    BadDay("user ids made anew", ids_anew("users", "user_id"), "min_agreement", "users", "as if ids were made anew"),
    BadDay("app ids made anew", ids_anew("catalog", "app_id"), "min_agreement", "catalog", "as if ids were made anew"),
    BadDay(
        "countries in full words",
        change_table("users", "country", lambda c: pc.binary_join_element_wise("country of", c, " ")),
        "divergence_floor",
        "country",
    ),
    BadDay(
        "languages in upper case",
        change_table("catalog", "language", pc.utf8_upper),
        "divergence_floor",
        "app_language",
    ),
    BadDay(
        "every device the same",
        change_table("users", "device", lambda c: ["phone"] * len(c)),
        "divergence_floor",
        "device",
    ),
    BadDay(
        "prices in cents",
        change_table("catalog", "price", lambda c: pc.multiply(c, 100.0)),
        "divergence_floor",
        "price",
    ),
    BadDay(
        "ratings of 0 where there is none, and of half of the apps",
        change_table("catalog", "rating", lambda c: [0.0 if i % 2 else v for i, v in enumerate(c.to_pylist())]),
        "divergence_floor",
        "rating",
    ),
    BadDay(
        "the ages of accounts in hours",
        change_table("users", "account_age_days", lambda c: pc.multiply(c, 24)),
        "divergence_floor",
        "account_age_days",
    ),
    BadDay("size and age swapped", _from_table("catalog", "size_mb", "age_days"), "divergence_floor", "size_mb"),
    BadDay(
        "developers of other apps, a row further down",
        change_table("catalog", "developer", lambda c: [*c.to_pylist()[1:], c.to_pylist()[0]]),
        "min_agreement",
        "developer",
    ),
    BadDay(
        "four in five of the users missing from the table",
        lambda day: dataclasses.replace(day, users=day.users.filter(pa.array(np.arange(len(day.users)) % 5 == 0))),
        "max_unmatched_increase",
        "users",
    ),
    BadDay(
        "only the home page is logged",
        keep_rows(lambda day: np.array(day.log["page"].to_pylist()) == "home"),
        "divergence_floor",
        "page",
    ),
    BadDay(
        "labels of other rows",
        change_log(label=lambda day: generator().permutation(np.asarray(day.log["label"]))),
        "max_auc_loss",
        "auc of the baseline",
    ),
    BadDay(
        "every impression of a page after the first three is installed",
        change_log(label=lambda day: np.where(np.asarray(day.log["position"]) > 3, 1, np.asarray(day.log["label"]))),
        "max_label_ratio",
        "label",
    ),
    BadDay("a category that tells whether the app was installed", _category_of_label, "max_label_auc_increase", "page"),
    BadDay(
        "a sale: a third more installs",
        _sale,
        "max_miscalibration",
        "calibration of the baseline",
        severity="warn",
    ),
]
