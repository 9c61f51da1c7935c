"""Tests of the settings that `wdr init` writes for small files of ratings, and for small tables without ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.pipeline.initial_config.guessing import guessed, of_csv
from transform.config.settings import Model, Training

ROWS = range(600)
HOURS = [i * i % 24 for i in ROWS]

#: Thirty users who rate 53 items.
RATINGS: Mapping[str, Sequence[object]] = {
    "user": [i % 30 + 1 for i in ROWS],
    "item": [i * 7 % 53 + 100 for i in ROWS],
    "rating": [i * 11 % 7 % 5 + 1 for i in ROWS],
}
TABLE = {"age": RATINGS["item"], "city": [f"c{i % 9}" for i in ROWS], "bought": [i % 3 // 2 for i in ROWS]}


def csv(columns: Mapping[str, Sequence[object]]) -> bytes:
    rows = [tuple(columns), *zip(*columns.values(), strict=True)]
    return "".join(",".join(map(str, row)) + "\n" for row in rows).encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (csv(RATINGS), (0.5, 0.3, 0.1)),
        (csv(TABLE), (0.2, 0.05, 0.0)),
        (csv({"hour": HOURS, **RATINGS}), (0.2, 0.1, 0.0)),  # neither: the defaults
    ],
)
def test_small_ratings_and_small_tables_have_settings_of_their_own(
    tmp_path: Path, content: bytes, expected: tuple[float, float, float]
) -> None:
    """The dropout of the hidden layers, and the learning rate and the L2 penalty of the wide part."""
    config, _ = of_csv(tmp_path, content)
    wide = config.training.wide_optimizer
    assert (config.model.dropout, wide.learning_rate, wide.l2) == expected


def test_a_file_that_is_not_read_to_its_end_has_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(csv(RATINGS))
    config, _ = guessed(tmp_path / "log.csv", max_rows=500)
    assert (config.model, config.training) == (Model(), Training())


def test_so_has_a_large_file(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(csv({name: [*column] * 84 for name, column in RATINGS.items()}))
    config, _ = guessed(tmp_path / "log.csv", max_rows=100_000)
    assert (config.model, config.training) == (Model(), Training())
