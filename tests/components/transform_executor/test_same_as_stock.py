"""Transform's executor against TFX's, on the same examples: vocabularies, metadata and transformed rows, bit by bit.

Of several files, the ranks of both executors' boundaries must be right to 2e-4.

`python -m tests.soak.stock_transform` compares them for every config of the project.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.components.transform_executor.same_as_stock import (
    EXECUTORS,
    check_a_day_of_several_files,
    check_same,
    check_two_days,
    day,
)
from tests.components.transform_executor.transform_runs import SCALED_NUMBER, run
from tests.transform.small_config import small_config
from tests.transform.test_preprocessing import CONFIG as HARD_CASES
from transform.config.config_file import parse_config

#: A vocabulary of two features, quantiles, and a cross whose tokens depend on the quantiles.
SMALL = small_config(("crosses", [{"features": ["installed", "price"], "min_count": 2, "max_size": 9}]))

#: Quantiles of more values than a sketch holds exactly: of 8,000 a day; it holds about 6,000.
NUMBERS = parse_config(
    {
        "name": "x",
        "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
        "features": [{"name": f"of_{n}", "side": "item", "kind": "numeric", "num_quantiles": n} for n in (2, 5)],
        "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
    },
    "test",
)

#: Quantiles that no cross depends on, vocabularies, and a mean and a variance.
SEVERAL = small_config(SCALED_NUMBER)


@pytest.mark.slow
def test_a_day_of_a_small_config(tmp_path: Path) -> None:
    window = [day(SMALL, tmp_path, 1, 300)]
    ours, stock = (run(executor, SMALL, window, tmp_path / executor.__name__) for executor in EXECUTORS)
    check_same(SMALL, ours, stock)


@pytest.mark.slow
def test_two_days_of_hard_cases(tmp_path: Path) -> None:
    check_two_days(HARD_CASES, tmp_path, 300)


@pytest.mark.slow
def test_quantiles_that_are_approximate(tmp_path: Path) -> None:
    check_two_days(NUMBERS, tmp_path, 8_000)


@pytest.mark.slow
def test_a_day_of_several_files(tmp_path: Path) -> None:
    """Of 30,000 rows, and so of more values than the sketches of all files hold exactly."""
    check_a_day_of_several_files(SEVERAL, tmp_path, 30_000, num_files=3)
