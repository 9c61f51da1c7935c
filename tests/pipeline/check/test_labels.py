"""What `wdr check` says of rare labels, and of splits with few rows of one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from components.ingestion.spans import resolve_span
from pipeline.check.first_rows import ReadRows
from pipeline.check.labels import rare_label, small_splits
from pipeline.check.rows import check_rows
from pipeline.check.source_report import SourceReport
from tests.transform.small_config import REMOVED, small_config


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({0: 970, 1: 30}, None),
        ({0: 1000}, None),  # `one_label` says so
        ({0: 982, 1: 18}, "`clicked` is 1 in 1.80% of the rows (18 of 1,000): whoever always says 0 is right"),
        ({0: 18, 1: 982}, "`clicked` is 0 in 1.80% of the rows (18 of 1,000): whoever always says 1 is right"),
    ],
)
def test_a_rare_label(labels: dict[int, int], sentence: str | None) -> None:
    found = rare_label(small_config(), SourceReport("impressions", 1, 1000, {}, labels))
    assert [text.startswith(str(sentence)) for text in found] == ([] if sentence is None else [True])


#: A row a minute; each fifth one has label 1.
ROWS = [f"{int(i % 5 == 0)},r{i},{1000 + 60 * i},a,\n" for i in range(1000)]
NAMES = "clicked,request,time,app,installed\n"
FIRST_MODEL = "with fewer, a first model is pushed only if its AUC is above 0.5 beyond chance"


def sentence(split: str, positives: int, negatives: int, needed: int, rest: str) -> str:
    return (
        f"the {split} split has {positives} rows of label 1 and {negatives} of label 0, and needs {needed} of each "
        f"(evaluation.min_positives): {rest}"
    )


def found(folder: Path, *changes: tuple[str, Any], rows: int = 1000, max_rows: int = 10_000) -> list[str]:
    (folder / "log-0.csv").write_text(NAMES + "".join(ROWS[: rows // 2]))
    (folder / "log-1.csv").write_text(NAMES + "".join(ROWS[rows // 2 : rows]))
    (folder / "apps.csv").write_text("app,price\na,1\n")
    config = small_config(("sources.impressions.path", "log-*.csv"), *changes)
    span = resolve_span(config, str(folder))
    impressions = ReadRows(config, span, "impressions", max_rows)
    return small_splits(config, span, impressions, check_rows(config, span, max_rows, impressions)[0])


@pytest.mark.parametrize(
    ("changes", "needed", "expected"),
    [
        # The last 200 rows have 40 of label 1; 0.2 · 50 / 40 = 0.25.
        (
            {"split_by": "time_fraction"},
            50,
            [sentence("eval", 40, 160, 50, f"{FIRST_MODEL}; add logs, or set `ingestion.eval_fraction: 0.25`")],
        ),
        ({"split_by": "time_fraction"}, 40, []),
        # 0.2 · 161 / 40 is more than a half.
        (
            {"split_by": "time_fraction"},
            161,
            [
                sentence("train", 160, 640, 161, "little is learned from fewer; add logs"),
                sentence("eval", 40, 160, 161, f"{FIRST_MODEL}; add logs"),
            ],
        ),
        # The last hour but the latest thousandth, one row: 61 rows, of which those of 940, 945, ... 995 have label 1.
        (
            {"split_by": "time", "eval_seconds": 3600},
            15,
            [sentence("eval", 12, 49, 15, f"{FIRST_MODEL}; add logs, or set a longer `ingestion.eval_seconds`")],
        ),
    ],
)
def test_a_split_with_few_rows_of_a_label(
    tmp_path: Path, changes: dict[str, Any], needed: int, expected: list[str]
) -> None:
    by_time = ("sources.impressions.timestamp", "time")
    assert found(tmp_path, by_time, ("ingestion", changes), ("evaluation.min_positives", needed)) == expected
    # Of the first rows of a longer log no split is known.
    assert found(tmp_path, by_time, ("ingestion", changes), ("evaluation.min_positives", needed), max_rows=999) == []


@pytest.mark.parametrize("rule", ["request_hash", "row_hash"])
def test_rows_that_are_drawn(tmp_path: Path, rule: str) -> None:
    keys = [f"r{i}" if rule == "request_hash" else f"row/log-{i // 500}.csv:{i % 500 + 2}" for i in range(len(ROWS))]
    hashed = [int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64 for key in keys]
    is_eval = [fraction < 0.2 for fraction in hashed]
    positives = sum(row[0] == "1" for row, of_eval in zip(ROWS, is_eval, strict=True) if of_eval)
    few = found(tmp_path, ("ingestion.split_by", rule), ("evaluation.min_positives", positives + 1))
    assert [text.split(", and")[0] for text in few] == [
        f"the eval split has {positives} rows of label 1 and {sum(is_eval) - positives} of label 0"
    ]
    assert found(tmp_path, ("ingestion.split_by", rule), ("evaluation.min_positives", positives)) == []


def test_splits_with_files_of_their_own(tmp_path: Path) -> None:
    splits = ("sources.impressions.splits", {"train": "log-0.csv", "eval": "log-1.csv"})
    no_path = ("sources.impressions.path", REMOVED)
    assert found(tmp_path, no_path, splits, ("evaluation.min_positives", 51), rows=500) == [
        sentence("train", 50, 200, 51, "little is learned from fewer; add rows to the files of `splits.train`"),
        sentence("eval", 50, 200, 51, f"{FIRST_MODEL}; add rows to the files of `splits.eval`"),
    ]
