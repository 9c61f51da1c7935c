"""Five data sets of public shapes, made from fixed seeds, for `benchmarks.defaults` and the tests of `wdr init`.

The numbers of this file were chosen before any default was looked at, and stay as they are.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Shape:
    """A data set.

    Attributes:
      name: Its name.
      seed: The seed that it is made from.
      num_rows: Its number of rows.
      label: The label's column.
      columns: Makes the columns.
    """

    name: str
    seed: int
    num_rows: int
    label: str
    columns: Callable[[np.random.Generator, int], Columns]

    def make(self, num_rows: int | None = None) -> Columns:
        """Returns the columns of the first rows, or of all."""
        return self.columns(np.random.default_rng(self.seed), num_rows or self.num_rows)

    def write(self, path: Path, num_rows: int | None = None) -> None:
        """Writes a CSV file with a header line."""
        columns = self.make(num_rows)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))


EDUCATIONS = (
    "Preschool",
    "7th-8th",
    "9th",
    "11th",
    "HS-grad",
    "Some-college",
    "Assoc-voc",
    "Bachelors",
    "Masters",
    "Doctorate",
)
OCCUPATIONS = (
    "Tech-support", "Craft-repair", "Other-service", "Sales", "Exec-managerial", "Prof-specialty", "Adm-clerical",
    "Farming-fishing", "Transport-moving", "Protective-serv",
)  # fmt: skip
WORKCLASSES = ("Private", "Self-emp-inc", "Self-emp-not-inc", "Federal-gov", "State-gov", "Local-gov")
MARITAL = ("Married-civ-spouse", "Never-married", "Divorced", "Separated", "Widowed")
COUNTRIES = ("United-States", "Mexico", "Philippines", "Germany", "Canada", "India", "Cuba", "England")


def _census(rng: np.random.Generator, n: int) -> Columns:
    age = np.clip(rng.gamma(6.0, 6.5, n).astype(int) + 17, 17, 90)
    education = np.clip(rng.normal(5.0, 2.0, n).round().astype(int), 0, 9)
    occupation = np.where(rng.random(n) < 0.5, rng.integers(0, 10, n), np.clip(education, 0, 5))
    workclass = rng.choice(6, n, p=[0.7, 0.04, 0.09, 0.03, 0.05, 0.09])
    marital = np.where(
        age < 25, rng.choice(5, n, p=[0.1, 0.8, 0.05, 0.03, 0.02]), rng.choice(5, n, p=[0.56, 0.2, 0.15, 0.04, 0.05])
    )
    sex = rng.random(n) < 0.67
    hours = np.clip((rng.normal(40, 10, n) + 5 * (occupation == 4)).round().astype(int), 1, 99)
    gain = np.where(rng.random(n) < 0.08, np.exp(rng.normal(8.4, 1.0, n)).astype(int), 0)
    loss = np.where(rng.random(n) < 0.05, rng.integers(1000, 2600, n), 0)
    country = rng.choice(8, n, p=[0.9, 0.03, 0.01, 0.01, 0.01, 0.01, 0.01, 0.02])
    married = marital == 0
    logit = (
        -5.3 - 0.0022 * (age - 50.0) ** 2 + 0.42 * education + 2.3 * married + 0.03 * (hours - 40)
        + np.array([0.2, -0.3, -1.2, 0.2, 0.9, 0.6, -0.1, -1.2, -0.3, 0.3])[occupation]
        + 0.35 * sex - 0.4 * sex * ~married + 4.0 * (gain > 6000) - 1.0 * ((gain > 0) & (gain < 3000))
        + 1.5 * ((loss > 1800) & (loss < 2000)) + 0.25 * married * (education >= 7) + 0.3 * (workclass == 1)
        - 0.4 * (country == 1)
    )  # fmt: skip
    label = rng.random(n) < _sigmoid(logit)
    unknown = rng.random(n) < 0.05
    return {
        "age": age,
        "workclass": np.where(unknown, "?", np.array(WORKCLASSES)[workclass]),
        "fnlwgt": np.exp(rng.normal(12, 0.5, n)).astype(int),
        "education": np.array(EDUCATIONS)[education],
        "education_num": education + 1,
        "marital_status": np.array(MARITAL)[marital],
        "occupation": np.where(unknown, "?", np.array(OCCUPATIONS)[occupation]),
        "sex": np.where(sex, "Male", "Female"),
        "capital_gain": gain,
        "capital_loss": loss,
        "hours_per_week": hours,
        "native_country": np.array(COUNTRIES)[country],
        "income": np.where(label, ">50K", "<=50K"),
    }


GENRES = ("Action", "Comedy", "Drama", "Horror", "Romance", "Sci-Fi", "Thriller", "War")


def _ratings(rng: np.random.Generator, n: int) -> Columns:
    num_users, num_movies = 900, 1500
    tastes, traits = rng.normal(0, 0.45, (num_users, 4)), rng.normal(0, 0.45, (num_movies, 4))
    kindness, quality = rng.normal(0, 0.4, num_users), rng.normal(0, 0.5, num_movies)
    genre = rng.random((num_movies, len(GENRES))) < 0.22
    genre[~genre.any(axis=1), 2] = True
    liking = rng.normal(0, 0.3, (num_users, len(GENRES)))
    user = rng.choice(num_users, n, p=_zipf(num_users, 0.6))
    movie = rng.choice(num_movies, n, p=_zipf(num_movies, 0.8))
    fit = (tastes[user] * traits[movie]).sum(axis=1) + (liking[user] * genre[movie]).sum(axis=1) / genre[movie].sum(
        axis=1
    )
    rating = np.clip((3.55 + kindness[user] + quality[movie] + fit + rng.normal(0, 0.8, n)).round(), 1, 5).astype(int)
    names = np.array(["|".join(name for name, has in zip(GENRES, row, strict=True) if has) for row in genre])
    ages, jobs, years = (
        rng.integers(16, 70, num_users),
        rng.integers(0, 20, num_users),
        rng.integers(1930, 1999, num_movies),
    )
    return {
        "user_id": user + 1,
        "movie_id": movie + 1,
        "age": ages[user],
        "gender": np.array(["F", "M"])[jobs[user] % 2],
        "occupation": np.array([f"job {job}" for job in range(20)])[jobs[user]],
        "genres": names[movie],
        "year": years[movie],
        "rating": rating,
    }


def _clicks(rate: float) -> Callable[[np.random.Generator, int], Columns]:
    def columns(rng: np.random.Generator, n: int) -> Columns:
        ad = rng.choice(400, n, p=_zipf(400, 0.9))
        site, hour = rng.choice(200, n, p=_zipf(200, 1.0)), rng.integers(0, 24, n)
        device, position, age = (
            rng.choice(4, n, p=[0.6, 0.25, 0.1, 0.05]),
            rng.integers(1, 9, n),
            rng.integers(13, 80, n),
        )
        price = np.exp(rng.normal(1.0, 0.8, n)).round(2)
        campaign = rng.integers(0, 40, 400)[ad]
        logit = (
            rng.normal(0, 0.5, 400)[ad] + rng.normal(0, 0.4, 200)[site] + rng.normal(0, 0.3, 40)[campaign]
            + rng.normal(0, 0.5, (4, 40))[device, campaign] - 0.25 * position + 0.4 * np.sin(hour / 24 * 2 * np.pi)
            - 0.3 * np.log(price) * (device == 0) + 0.8 * ((age > 25) & (age < 40))
        )  # fmt: skip
        low, high, bias = -15.0, 5.0, -5.0
        for _ in range(50):  # the bias with the wanted rate
            low, high = (bias, high) if _sigmoid(logit + bias).mean() < rate else (low, bias)
            bias = (low + high) / 2
        return {
            "hour": hour,
            "device": np.array(["phone", "desktop", "tablet", "tv"])[device],
            "site": np.array([f"site{number}.example" for number in range(200)])[site],
            "ad_id": ad + 1000,
            "campaign": np.array([f"c{number}" for number in range(40)])[campaign],
            "position": position,
            "user_age": age,
            "price": price,
            "click": (rng.random(n) < _sigmoid(logit + bias)).astype(int),
        }

    return columns


def _long_tail(rng: np.random.Generator, n: int) -> Columns:
    num_users, num_items = 8000, 12000
    user, item = rng.choice(num_users, n, p=_zipf(num_users, 0.7)), rng.choice(num_items, n, p=_zipf(num_items, 1.0))
    category = rng.integers(0, 60, num_items)[item]
    segment = rng.integers(0, 6, num_users)[user]
    age = rng.exponential(60, n).round(1)
    logit = (
        -1.4 + rng.normal(0, 0.8, num_items)[item] + rng.normal(0, 0.6, num_users)[user]
        + rng.normal(0, 0.4, 60)[category] + rng.normal(0, 0.6, (6, 60))[segment, category] - 0.008 * age
    )  # fmt: skip
    return {
        "user_id": np.array([f"u{number}" for number in range(num_users)])[user],
        "segment": np.array([f"s{number}" for number in range(6)])[segment],
        "item_id": np.array([f"i{number}" for number in range(num_items)])[item],
        "category": np.array([f"cat{number}" for number in range(60)])[category],
        "age_days": age,
        "clicked": (rng.random(n) < _sigmoid(logit)).astype(int),
    }


def _sigmoid(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logit)))


def _zipf(number: int, power: float) -> Floats:
    shares = np.arange(1, number + 1) ** -power
    return np.asarray(shares / shares.sum())


SHAPES = (
    Shape("census", 11, 32_000, "income", _census),
    Shape("ratings", 12, 60_000, "rating", _ratings),
    Shape("clicks_1", 13, 120_000, "click", _clicks(0.01)),
    Shape("clicks_30", 14, 40_000, "click", _clicks(0.3)),
    Shape("long_tail", 15, 60_000, "clicked", _long_tail),
)


def write_census(folder: Path, num_train: int = 24_000, num_eval: int = 8_000) -> None:
    """Writes the census set as its public form: `adult.data`, and `adult.test` with a first line that is no row.

    No header, a comma and a space between fields, `?` for no value, and labels with a full stop in `adult.test`.
    """
    columns = SHAPES[0].make(num_train + num_eval)
    lines = [", ".join(map(str, row)) for row in zip(*(v.tolist() for v in columns.values()), strict=True)]
    (folder / "adult.data").write_text("".join(f"{line}\n" for line in lines[:num_train]), encoding="ascii")
    test = "".join(f"{line}.\n" for line in lines[num_train:])
    (folder / "adult.test").write_text(f"|1x3 Cross validator\n{test}\n", encoding="ascii")


def write_ratings(folder: Path, num_rows: int = 60_000) -> None:
    """Writes the ratings set as three tables of Latin-1 text between bars, without headers.

    `u.data` has user, movie, rating and time; `u.item` movie, title and year; `u.user` user, age, gender, occupation.
    """
    columns = SHAPES[1].make(num_rows)
    times = 880_000_000 + np.arange(num_rows) * 60
    _write_bars(folder / "u.data", [columns["user_id"], columns["movie_id"], columns["rating"], times])
    movies = [f"Les Misérables {movie}" for movie in columns["movie_id"].tolist()]
    _write_bars(folder / "u.item", _first_of_each([columns["movie_id"], np.array(movies), columns["year"]]))
    users = [columns[name] for name in ("user_id", "age", "gender", "occupation")]
    _write_bars(folder / "u.user", _first_of_each(users))


def _first_of_each(columns: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    first = np.sort(np.unique(columns[0], return_index=True)[1])
    return [column[first] for column in columns]


def _write_bars(path: Path, columns: Sequence[npt.NDArray[Any]]) -> None:
    rows = zip(*(column.tolist() for column in columns), strict=True)
    path.write_text("".join("|".join(map(str, row)) + "\n" for row in rows), encoding="latin-1")
