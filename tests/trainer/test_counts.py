"""Which rows are counted, which cells a row sees, and the buckets that the model reads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.counts import MIDDLE_BUCKET, Cells, CountTables, Rows, count_rows, rows_bucket, share_bucket
from trainer.training.data import counted_rows
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.example_keys import FOLD, NO_FOLD, NO_SPAN, NUM_FOLDS, SPAN

NAME = "count_of_user_x_app"
KEY, SHARE, ROWS = f"{NAME}_key_xf", f"{NAME}_share_xf", f"{NAME}_rows_xf"

#: Key, label, span, fold, number of rows: key 7 is in one fold, key 9 in two, key 11 only in the last span.
TRAIN = [(7, 1, 3, 0, 3), (7, 0, 3, 0, 1), (9, 0, 3, 1, 4), (9, 1, 3, 2, 2), (9, 1, 4, 2, 8), (11, 1, 6, 0, 1)]
EVAL = [(7, 1, 3, NO_FOLD, 1), (9, 0, 6, NO_FOLD, 16)]


def config_of(**count: Any) -> Config:
    return parse_config(
        {
            "name": "x",
            "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
            "features": [
                {"name": "user", "side": "context", "kind": "categorical", "vocabulary": {}},
                {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}},
            ],
            "count_encodings": [{"features": ["user", "app"], **count}],
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        },
        "test",
    )


def rows_of(lines: list[tuple[int, int, int, int, int]]) -> Rows:
    keys, labels, spans, folds = np.repeat(np.array(lines)[:, :4], [line[4] for line in lines], axis=0).T
    return Rows({NAME: keys}, labels, spans, folds)


def tables(**count: Any) -> CountTables:
    return count_rows(config_of(**count).spec, [rows_of(TRAIN), rows_of(EVAL)])


def read(counts: CountTables, key: int, span: int = NO_SPAN, fold: int = NO_FOLD) -> int:
    """The bucket of the number of rows that a row sees for a key."""
    column = {name: tf.constant([value], tf.int64) for name, value in ((KEY, key), (SPAN, span), (FOLD, fold))}
    return int(counts.features(column)[ROWS][0])


def bucket_of(number: int) -> int:
    return number.bit_length()


def test_a_request_sees_every_row_of_the_window() -> None:
    counts = tables()
    seen = Counter({7: 5, 9: 4 + 2 + 8 + 16, 11: 1})
    for key in (7, 9, 11, 12):
        assert read(counts, key) == bucket_of(seen[key])
    without_span = counts.features({KEY: tf.constant([7], tf.int64), "app_xf": tf.constant([2], tf.int64)})
    assert set(without_span) == {SHARE, ROWS, "app_xf"}
    assert int(without_span[ROWS][0]) == bucket_of(5)


def test_a_row_of_a_later_span_sees_the_spans_before_it_and_nothing_of_its_own() -> None:
    counts = tables()
    assert read(counts, 9, span=4, fold=3) == bucket_of(4 + 2)
    assert read(counts, 9, span=5) == read(counts, 9, span=6) == bucket_of(4 + 2 + 8)
    assert read(counts, 11, span=6) == 0
    assert read(counts, 7, span=6) == bucket_of(5)  # including the first span's evaluation row
    assert read(counts, 9, span=7) == read(counts, 9)  # a baseline's counts on the next span
    assert read(counts, 9, span=2) == 0


def test_a_row_of_the_first_span_sees_training_rows_of_other_folds() -> None:
    counts = tables()
    assert read(counts, 7, span=3, fold=0) == 0
    assert read(counts, 7, span=3, fold=1) == bucket_of(4)
    assert read(counts, 9, span=3, fold=1) == bucket_of(2)
    assert read(counts, 9, span=3, fold=NO_FOLD) == bucket_of(4 + 2)


def test_the_share_is_of_the_rows_seen() -> None:
    counts = tables()
    share = (1 + 3 + 2 + 8 + 1 + 1) / (2 + 36)  # of all rows, plus one row of each label
    column = {KEY: tf.constant([9], tf.int64), SPAN: tf.constant([4], tf.int64), FOLD: tf.constant([0], tf.int64)}
    odds = (2 + share) / (4 + 1 - share)
    expected = MIDDLE_BUCKET + round(2 * (math.log(odds) - math.log(share / (1 - share))))
    assert int(counts.features(column)[SHARE][0]) == expected


def test_in_training_a_row_of_the_first_span_sees_other_folds_by_chance_and_later_rows_all_that_is_before_them() -> (
    None
):
    cells = Cells((3, 4))
    spans = tf.constant([3] * 4000 + [4] * 10, tf.int64)
    folds = tf.constant([2] * 4010, tf.int64)
    seen = cells.seen(spans, folds)
    drawn = cells.drawn(seen, spans, tf.constant([1, 2])).numpy()
    np.testing.assert_array_equal(drawn[4000:], seen.numpy()[4000:])
    assert not drawn[:4000, [2, NUM_FOLDS, NUM_FOLDS + 1]].any()
    numbers = drawn[:4000].sum(axis=1)
    assert numbers.mean() == pytest.approx((NUM_FOLDS - 1) / 2, abs=0.15)  # the standard error is 2.3 / √4000 = 0.04
    assert {0, NUM_FOLDS - 1} <= set(numbers.tolist())
    again = cells.drawn(seen, spans, tf.constant([1, 2])).numpy()
    np.testing.assert_array_equal(drawn, again)
    assert (cells.drawn(seen, spans, tf.constant([1, 3])).numpy() != drawn).any()


@pytest.mark.slow
@pytest.mark.parametrize("num_spans", [1, 2, 3])
def test_the_last_span_alone_reads_the_same_from_fewer_cells(num_spans: int) -> None:
    lines = [line for line in TRAIN + EVAL if line[2] <= {1: 3, 2: 4, 3: 6}[num_spans]]
    counts = count_rows(config_of().spec, [rows_of(lines)])
    last = max(line[2] for line in lines)
    few = counts.make_last_span_tables()
    for key in (7, 9, 11, 12):
        for span in (last, last + 1, NO_SPAN):
            for fold in (NO_FOLD, 0, 1, 2, 3):
                assert read(few, key, span, fold) == read(counts, key, span, fold)


def test_max_size_keeps_the_combinations_with_the_most_rows() -> None:
    counts = tables(max_size=1)
    assert read(counts, 9) == bucket_of(30)
    assert read(counts, 7) == read(counts, 11) == 0


def test_rows_that_come_in_many_batches_are_summed_up() -> None:
    parts = [rows_of([line]) for line in TRAIN + EVAL]
    counts = count_rows(config_of().spec, parts)
    for key in (7, 9, 11):
        assert read(counts, key) == read(tables(), key)


def test_without_a_row_nothing_is_known() -> None:
    counts = count_rows(
        config_of().spec, [rows_of(TRAIN[:1]), Rows({NAME: np.zeros(0, np.int64)}, *[np.zeros(0, np.int64)] * 3)]
    )
    assert read(counts, 99, span=3, fold=1) == 0
    none = Rows({NAME: np.zeros(0, np.int64)}, *[np.zeros(0, np.int64)] * 3)
    assert read(count_rows(config_of().spec, [none]), 7) == 0


def test_a_bucket_of_rows_is_a_power_of_two() -> None:
    numbers = [0, 1, 2, 3, 4, 7, 8, 2**29, 2**30 - 1, 2**30, 2**40]
    expected = [0, *(n.bit_length() for n in numbers[1:-2]), 31, 31]
    assert rows_bucket(tf.constant(numbers, tf.int64)).numpy().tolist() == expected


def test_a_bucket_of_shares_is_half_a_logit_around_the_share_of_all_rows() -> None:
    #: Negatives, positives, and, computed by hand, (p + 0.2) / (n + 0.8) relative to 0.25.
    cases = [(0, 0, 1.0), (4, 1, 1.0), (0, 1, 6.0), (1, 0, 0.1111 / 0.25), (100, 0, 0.2 / 100.8 / 0.25)]
    for negatives, positives, odds_ratio in cases:
        bucket = share_bucket(tf.constant(negatives, tf.int64), tf.constant(positives, tf.int64), 0.2)
        assert int(bucket) == MIDDLE_BUCKET + round(2 * math.log(odds_ratio))
    extremes = share_bucket(tf.constant([10**9, 0], tf.int64), tf.constant([0, 10**9], tf.int64), 0.2)
    assert extremes.numpy().tolist() == [0, 31]


def test_one_span_and_seven_of_the_same_share_are_in_the_same_bucket() -> None:
    one, seven = (share_bucket(tf.constant(27 * k, tf.int64), tf.constant(3 * k, tf.int64), 0.3) for k in (1, 7))
    assert int(one) == int(seven) == MIDDLE_BUCKET + round(2 * (math.log(1 / 9) - math.log(3 / 7)))


def late_rows(tmp_path: Path) -> Iterator[Rows]:
    """Rows of one combination: 2 of span 3, 4 of span 4, and 8 of span 3 with late labels, in fold 1 each."""
    path = tmp_path / "rows.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for span, late, number in ((3, 0, 2), (4, 0, 4), (3, 1, 8)):
            values = {KEY: 7, "label": 0, SPAN: span, FOLD: 1, "late_label": late}
            ints = {name: tf.train.Int64List(value=[value]) for name, value in values.items()}
            features = {name: tf.train.Feature(int64_list=value) for name, value in ints.items()}
            record = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
            for _ in range(number):
                writer.write(record)
    parsing = {name: tf.io.FixedLenFeature([], tf.int64) for name in (KEY, "label", SPAN, FOLD, "late_label")}
    return counted_rows([str(path)], parsing, config_of().spec, in_folds=True)


def test_a_late_label_is_seen_from_the_span_after_the_one_that_completed_it(tmp_path: Path) -> None:
    counts = count_rows(config_of().spec, late_rows(tmp_path))
    assert read(counts, 7, span=4, fold=1) == bucket_of(2)  # an install may label a late row and one of span 4
    assert read(counts, 7, span=5) == bucket_of(2 + 4 + 8)
    # A late row has the span and the fold of its own span's rows, and sees what they see.
    assert read(counts, 7, span=3, fold=1) == bucket_of(0)
    assert read(counts, 7, span=3, fold=2) == bucket_of(2)


def test_before_the_window_a_late_row_sees_nothing(tmp_path: Path) -> None:
    later = (rows for rows in late_rows(tmp_path))
    kept = [Rows({n: k[r.spans > 3] for n, k in r.keys.items()}, *(c[r.spans > 3] for c in r[1:])) for r in later]
    counts = count_rows(config_of().spec, kept)  # of span 4: its own rows and the late ones
    assert read(counts, 7, span=3, fold=2) == bucket_of(0)
    assert read(counts, 7, span=4, fold=2) == bucket_of(4 + 8)
    assert read(counts, 7, span=4, fold=1) == bucket_of(0)
