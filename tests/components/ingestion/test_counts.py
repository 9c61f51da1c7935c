"""The counts, and the sentence about rows that are unfit for training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import COUNTS_FILE
from components.ingestion.counts import Counts, LineCounts, counts_from_pairs, read_counts, unfitness
from transform.config.settings import Ingestion
from transform.errors import InputError

#: 1000 rows: 990 kept, 10 rejected.
COUNTS = Counts(
    span=4,
    read={"impressions": 1000, "catalog": 100_000},
    rejected={"impressions": {"bad_label": 4, "malformed": 6}, "catalog": {"malformed": 500}},
    labels={"train": {"0": 700, "1": 90}, "eval": {"0": 190, "1": 10}},
    lines={"catalog": LineCounts(total=100_012, header=2, blank=4, rows=100_006, multi_line_rows=3)},
    unmatched={"catalog": 3},
)


def test_the_sums_by_key_become_counts() -> None:
    pairs: list[tuple[tuple[str, ...], int]] = [
        (("label", "train", "0", "5"), 300),
        (("label", "train", "0", "6"), 400),
        (("install", "attributed"), 3),
        (("unmatched_rejected", "catalog"), 3),
        (("rejected", "impressions", "malformed"), 6),
        (("rejected", "impressions", "bad_label"), 4),
        (("rejected", "catalog", "malformed"), 500),
        (("label", "eval", "1", ""), 10),
        (("label", "eval", "0", ""), 190),
        (("label", "train", "1", ""), 90),
        (("read", "impressions"), 1000),
        (("read", "catalog"), 100_000),
        (("unmatched", "catalog"), 3),
        (("lines", "catalog", "total"), 100_012),
        (("lines", "catalog", "header"), 2),
        (("lines", "catalog", "blank"), 4),
        (("lines", "catalog", "rows"), 100_006),
        (("lines", "catalog", "multi_line_rows"), 3),
    ]
    assert counts_from_pairs(pairs, 4) == COUNTS
    assert counts_from_pairs([*pairs, (("unusable", "bad file"), 1)], 4).unusable_files == ("bad file",)
    assert counts_from_pairs([*pairs, (("unknown_label",), 12)], 4).unknown_labels == 12
    with pytest.raises(ValueError, match="unknown count"):
        counts_from_pairs([(("odd",), 1)], 4)


def test_totals() -> None:
    assert COUNTS.num_examples == {"train": 790, "eval": 200}
    assert COUNTS.num_rejected == 10  # the catalog's are not impressions
    assert Counts(span=0).num_rejected == 0


def test_counts_survive_their_file(tmp_path: Path) -> None:
    (tmp_path / COUNTS_FILE).write_text(COUNTS.to_json())
    assert read_counts(str(tmp_path)) == COUNTS


def test_every_line_is_the_header_blank_or_part_of_a_row() -> None:
    COUNTS.lines["catalog"].check("a.csv")
    with pytest.raises(InputError) as caught:
        LineCounts(total=30_001, header=1, blank=0, rows=22_068).check("a.csv")
    assert str(caught.value) == (
        "every line of a file must be its header, blank, or part of a row that was kept or rejected. Received: 30,001 "
        "lines, 1 of the header, 0 blank, 22,068 of rows; was the file changed while it was read? (a.csv)"
    )


@pytest.mark.parametrize(
    ("changes", "rules", "sentence"),
    [
        ({}, {"max_rejected_fraction": 0.01, "min_impressions": 1000}, ""),
        (
            {},
            {"min_impressions": 1001},
            "a span must have at least 1001 impressions (ingestion.min_impressions). Received: 1000 (span 4)",
        ),
        (
            {},
            {"max_rejected_fraction": 0.0099},
            "at most 0.99% of `impressions` may be rejected (ingestion.max_rejected_fraction). Received: 10 of 1000 "
            "(1.00%; bad_label 4, malformed 6)",
        ),
        (
            {"read": {"impressions": 1001}},
            {},
            "every row read must be kept, rejected or left out. Received: 1001 rows read, {'train': 790, 'eval': 200} "
            "kept, 10 rejected, 0 left out (span 4)",
        ),
        ({"read": {"impressions": 1030}, "unknown_labels": 30, "rejected": {"impressions": {"bad_label": 10}}}, {}, ""),
        (
            {"unknown_labels": 990, "labels": {}},
            {},
            "a span must be longer than `sources.installs.attribution_seconds`, within which the last labels are not "
            "known yet (sources.installs.leave_out_unknown_labels). Received: 990 impressions, all of them within it "
            "(span 4)",
        ),
        (
            {"read": {"impressions": 0, "catalog": 5, "installs": 0}, "rejected": {}, "labels": {}},
            {},
            "every source must have a row. Received: none from impressions, installs (span 4)",
        ),
        ({"unusable_files": ("a (x)", "b (y)", "c", "d")}, {}, "a (x); b (y); c"),
        (
            {"labels": {"train": {"0": 700, "1": 90}, "eval": {"0": 200}}},
            {},
            "the eval split must have both labels, 0 and 1. Received: {'0': 200} (span 4)",
        ),
        (
            {"labels": {"eval": {"0": 900, "1": 90}}},
            {},
            "the train split must have both labels, 0 and 1. Received: no row (span 4)",
        ),
    ],
)
def test_unfit_rows_are_told_in_a_sentence(changes: dict[str, Any], rules: dict[str, Any], sentence: str) -> None:
    assert unfitness(dataclasses.replace(COUNTS, **changes), Ingestion(**rules)) == sentence
