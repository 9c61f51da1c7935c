"""What `wdr init` guesses of ratings whose file or column has no name that says so."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pipeline.initial_config.config_text import initial_config
from tests.pipeline.initial_config.guessing import of_csv
from transform.config.sources import LabelRule
from transform.errors import InputError

ROWS = range(600)


def ratings(delimiter: str, stars: list[str]) -> bytes:
    """User, item, rating and time, as MovieLens' `u.data` (tabs) and `ratings.dat` (colons) have them.

    Of 120 users and 150 items, the third of the users that is generous and the third of the items that is good have
    nothing to do with the size of their numbers.
    """
    draw = random.Random(3)
    rows = []
    for i in range(4000):
        user, item = draw.randint(1, 120), draw.randint(1, 150)
        grade = (user % 3 == 0) + (item % 3 == 0) + draw.randint(0, 2)
        rows.append((user, item, stars[grade], 881_250_949 + 9000 * i))
    return "".join(delimiter.join(map(str, row)) + "\n" for row in rows).encode()


@pytest.mark.parametrize(
    ("name", "delimiter", "stars", "at_least"),
    [("u.data", "\t", list("12345"), 3), ("ratings.dat", "::", ["0.5", "1.0", "3.5", "4.0", "5.0"], 3.5)],
)
def test_the_rating_of_a_file_without_names_is_found(
    tmp_path: Path, name: str, delimiter: str, stars: list[str], at_least: float
) -> None:
    config, text = of_csv(tmp_path, ratings(delimiter, stars), name)
    log = config.sources.impressions
    assert (log.label, log.item_id, log.timestamp, config.user) == ("column_3", "column_2", "column_4", "column_1")
    assert log.label_rule == LabelRule(at_least=at_least)
    assert f"label: column_3  # by its values, 5 numbers up to {float(stars[-1]):g}, a rating; " in text


def test_without_it_the_sentence_has_the_command(tmp_path: Path) -> None:
    """Of two columns that may be ratings, neither is taken; nor is one in a file whose names say nothing of it."""
    two = "".join(f"{i % 61 + 1},{i * 7 % 53 + 100},{i % 3},{i % 5}\n" for i in ROWS)
    named = "uid,item,points\n" + "".join(f"{i % 61},{i * 7 % 53},{i % 5}\n" for i in ROWS)
    for name, content, column in (("two.csv", two, "column_3"), ("my log.csv", named, "points")):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError) as caught:
            initial_config(tmp_path / name, None, 1000, Path("x.yaml"))
        path = f"'{tmp_path / name}'" if " " in name else str(tmp_path / name)
        assert f'; "{column}" may be a rating by its values, and `wdr init {path} --label {column}` takes it; ' in str(
            caught.value
        )
