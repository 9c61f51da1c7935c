"""The table of bad days: how the day is damaged, and what the gate on data must do and say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow.compute as pc

from tests.components.data_validation.damage import change_table, hours, keep_rows, lose_labels, requests_again
from tests.soak.days import damages as by


@dataclasses.dataclass(frozen=True)
class BadDay:
    """A bad day.

    Attributes:
      number: Its number in the list of 30, with a letter for a variant.
      kind: A description.
      breaks: Returns the damaged day, from the day and those before it.
      expected: `stop` or `warn`, with the true cause; `silent` if the gate does not find it, as
        docs/explanation/gates.md says.
      says: A regular expression that the finding of the true cause has in "subject: sentence".
      is_new: Whether the store has two reference spans only.
    """

    number: str
    kind: str
    breaks: by.Breaks
    expected: str
    says: str
    is_new: bool = False


#: The list was written by someone who had not read the gates. Its case 15 is a series (`damages.slow_loss`).
BAD_DAYS = (
    BadDay(
        "1",
        "user ids hashed anew in log and table",
        by.ids_hashed(("log", "user_id"), ("users", "user_id")),
        "stop",
        "^users: .* as if ids were made anew",
    ),
    BadDay(
        "2", "half of the requests again under new ids", by.only(requests_again), "stop", "its rows again, their ids"
    ),
    BadDay(
        "3",
        "six hours missing",
        by.only(keep_rows(lambda day: (hours(day) < 9) | (hours(day) > 14))),
        "stop",
        "hours? 09, 10, 11, 12, 13, 14 ",
    ),
    BadDay("4", "the clock off by an hour", by.only(by.clock_an_hour_off), "warn", "a clock may be an hour off"),
    BadDay(
        "5",
        "half the labels lost of a country with 4 % of the rows",
        by.only(lose_labels(lambda day: by.of_country(day, 0.04) & by.drawn(day, 0.5))),
        "warn",
        "^label where country = ",
    ),
    BadDay(
        "6",
        "75 % of the labels lost of a country with a tenth of the rows",
        by.only(lose_labels(lambda day: by.of_country(day, 0.1) & by.drawn(day, 0.75))),
        "stop",
        "^label where country = ",
    ),
    BadDay(
        "7",
        "20 % of the installs already in installed_apps",
        by.only(by.installed_already),
        "stop",
        "app_id in installed_apps",
    ),
    BadDay(
        "8",
        "30 % of the positives with a new page",
        by.page_of_positives("detail"),
        "stop",
        "page.*(predicts|have label 1)",
    ),
    BadDay(
        "8b",
        "30 % of the positives with another page",
        by.page_of_positives("search"),
        "warn",
        "page.*(predicts|have label 1)",
    ),
    BadDay(
        "9",
        "a rating of 0 where there is none",
        by.only(change_table("catalog", "rating", lambda column: pc.fill_null(column, 0.0))),
        "warn",
        "^rating: ",
    ),
    BadDay(
        "10",
        "num_downloads x 1.3",
        by.only(change_table("catalog", "num_downloads", by.times_1_3)),
        "warn",
        "^num_downloads: .* times",
    ),
    BadDay("11", "the catalog of the day before", by.catalog_of_yesterday, "warn", "^files of catalog: "),
    BadDay(
        "12",
        "half of the negatives lost",
        by.only(keep_rows(lambda day: (by.labels_of(day) == 1) | by.drawn(day, 0.5))),
        "warn",
        "label 0",
    ),
    BadDay("13", "bots as 15 % of the rows", by.only(by.bots), "stop", "^most frequent user_id"),
    BadDay(
        "14",
        "app ids hashed anew",
        by.ids_hashed(("log", "app_id"), ("catalog", "app_id"), ("users", "installed_apps")),
        "stop",
        "^catalog: .* as if ids were made anew",
    ),
    BadDay(
        "14b",
        "app ids hashed anew, but not in installed_apps",
        by.ids_hashed(("log", "app_id"), ("catalog", "app_id")),
        "stop",
        "^catalog: .* as if ids were made anew",
    ),
    BadDay(
        "16",
        "first days: 20 % of the labels lost",
        by.only(lose_labels(lambda day: by.drawn(day, 0.2))),
        "warn",
        "^label: ",
        is_new=True,
    ),
    BadDay(
        "17",
        "first days: the installs' clock is 60 s off",
        by.only(by.clock_of_installs),
        "warn",
        "installs match no impression",
        is_new=True,
    ),
    BadDay("18", "a country's labels at random", by.only(by.labels_at_random), "stop", "where country = "),
    BadDay("19", "installed_apps lost of 61 % of the users", by.only(by.lists_lost), "stop", "^installed_apps: "),
    BadDay("20", "a bot on one app, 3 % of the rows", by.bot_on_one_app(0.7), "stop", "bot"),
    BadDay("20b", "the same without installs", by.bot_on_one_app(0.0), "warn", "app_id"),
    BadDay(
        "21",
        "the tail of the lists lost",
        by.only(keep_rows(lambda day: np.asarray(day.log["position"]) <= 8)),
        "warn",
        "request",
    ),
    BadDay("22", "two rows of a user in the table", by.only(by.two_rows_of_a_key), "stop", "^duplicate_key"),
    BadDay("23", "two columns swapped by one client", by.only(by.swapped), "stop", "^country and language: "),
    BadDay("24", "features of other apps", by.only(by.features_of_other_apps), "warn", "^category: .* other keys"),
    BadDay("25", "labels credited to the first row", by.only(by.credited_to_the_first), "warn", "wrong rows"),
    BadDay("26", "an old day sent again", by.replayed(7), "stop", "those of an earlier span"),
    BadDay("26b", "yesterday sent again", by.replayed(1), "stop", "those of an earlier span"),
    BadDay("27", "labels that are not ripe", by.only(by.not_ripe), "stop", "^label where hour = 2[23]"),
    BadDay("28", "random lists in a fifth of the requests", by.only(by.random_lists), "silent", "app_id"),
    BadDay("29", "a default user id", by.only(by.default_user), "stop", "^most frequent user_id"),
    BadDay("30", "counts of downloads from the future", by.only(by.counts_of_tomorrow), "warn", "^num_downloads: "),
)
