"""The old row that each new row starts from."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.warm_start.row_matching import RowMatch, match_quantiles, match_rows
from trainer.wide_deep.tables import RowKeys


def origins(match: RowMatch) -> dict[int, set[int]]:
    """The old rows that each new row starts from."""
    found = {new: {old} for new, old in zip(match.new_rows.tolist(), match.old_rows.tolist(), strict=True)}
    for news, olds in zip(match.mean_for.tolist(), match.mean_of.tolist(), strict=True):
        found |= {new: set(olds) for new in news}
    return found


def test_tokens_are_matched_by_their_bytes() -> None:
    keys = RowKeys("vocabulary", "app", oov_buckets=2)
    match = match_rows(keys, keys, 5, 6, [b"a", b"b", b"c"], [b"c", b"new", b"a\x00", b"a"])
    assert origins(match) == {0: {2}, 3: {0}, 4: {3}, 5: {4}}  # c, a and the two oov buckets; b was dropped
    assert match.why == ""
    assert match.num_transferred == 4
    assert match.used_rows.tolist() == [0, 2, 3, 4]


def test_tokens_are_matched_whichever_feature_declares_the_vocabulary() -> None:
    old, new = RowKeys("vocabulary", "installed", oov_buckets=1), RowKeys("vocabulary", "app", oov_buckets=1)
    assert origins(match_rows(old, new, 3, 3, [b"a", b"b"], [b"b", b"a"])) == {0: {1}, 1: {0}, 2: {2}}


@pytest.mark.parametrize(
    ("old_number", "new_number", "expected"),
    [
        (2, 4, {1: {1}, 2: {2}, 3: {1}, 4: {2}}),  # split: each new bucket's tokens were all in one old bucket
        (4, 2, {1: {1, 3}, 2: {2, 4}}),  # merged
        (2, 3, {1: {1, 2}, 2: {1, 2}, 3: {1, 2}}),
        (6, 4, {1: {1, 3, 5}, 2: {2, 4, 6}, 3: {1, 3, 5}, 4: {2, 4, 6}}),
    ],
)
def test_an_oov_bucket_starts_from_the_old_buckets_of_its_tokens(
    old_number: int, new_number: int, expected: dict[int, set[int]]
) -> None:
    """Row 0 is the only token, `a`."""
    old, new = (RowKeys("vocabulary", "app", oov_buckets=number) for number in (old_number, new_number))
    match = match_rows(old, new, 1 + old_number, 1 + new_number, [b"a"], [b"a"])
    assert origins(match) == {0: {0}} | expected
    assert (f"changed from {old_number} to {new_number}" in match.why) == (new_number % old_number != 0)

    vocabulary = tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([0], tf.int64))
    unknown = tf.constant([f"token {i}" for i in range(200)])
    before, now = (tf.lookup.StaticVocabularyTable(vocabulary, n)[unknown].numpy() for n in (old_number, new_number))
    assert {new: set(before[now == new].tolist()) for new in expected} == expected


def test_hash_buckets_are_matched_if_one_number_divides_the_other() -> None:
    keys = RowKeys("hash")
    assert origins(match_rows(keys, keys, 3, 3)) == {0: {0}, 1: {1}, 2: {2}}
    assert origins(match_rows(keys, keys, 2, 4)) == {0: {0}, 1: {1}, 2: {0}, 3: {1}}
    assert origins(match_rows(keys, keys, 4, 2)) == {0: {0, 2}, 1: {1, 3}}
    changed = match_rows(keys, keys, 4, 6)
    assert changed.num_transferred == 0
    assert changed.why == "the number of hash buckets changed from 4 to 6"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([1, 2, 4], [1, 2, 4], [0, 1, 2, 3]),
        ([1, 2, 4], [1.1, 2.2, 3.9], [0, 1, 2, 3]),  # boundaries that moved slightly
        ([1, 2, 4], [2, 4, 8], [1, 2, 3, 3]),  # the values below 2 were in the old quantiles 0 and 1
        ([1, 2, 4], [0.1, 0.2, 0.3], [0, 0, 0, 2]),  # the last one spans all old quantiles
        ([1, 2, 4], [1.5], [0, 2]),
        ([2], [1, 2, 3], [0, 0, 1, 1]),
        ([0, 0, 0, 5, 9], [0, 0, 0, 5, 10], [0, None, None, 3, 4, 5]),  # quantiles 1 and 2 hold no value
    ],
)
def test_quantiles_are_matched_by_where_they_lie(
    old: list[float], new: list[float], expected: list[int | None]
) -> None:
    matched = match_quantiles(np.array(old, np.float32), np.array(new, np.float32)).tolist()
    assert len(matched) == len(expected)
    assert [got if want is not None else None for got, want in zip(matched, expected, strict=True)] == expected
    assert all(0 <= row <= len(old) for row in matched)


def test_a_quantile_s_weight_and_a_cross_s_key_follow_it() -> None:
    """Prices below 10 were in the quantiles 0 and 1, and are now in 0, 1 and 2: the old quantile 0 was split in two."""
    old_quantiles = {"price": np.array([0, 0, 1, 2])}
    old, new = (RowKeys("quantiles", features=("price",), quantiles={"price": n}) for n in (3, 4))
    origins_of = {0: {0}, 1: {0}, 2: {1}, 3: {2}, 4: {3}}  # each table's last row is for a missing price
    assert origins(match_rows(old, new, 4, 5, old_quantiles=old_quantiles)) == origins_of

    old, new = (RowKeys("vocabulary", "price_x_app", features=("price", "app"), quantiles={"price": n}) for n in (3, 4))
    old_keys = [b"0\x1f7", b"1\x1f7", b"2\x1f7", b"3\x1f7"]
    new_keys = [b"3\x1f7", b"1\x1f7", b"0\x1f7", b"2\x1f8", b"2\x1f7\x1f", b"4\x1f7"]
    match = match_rows(old, new, 4, 6, old_keys, new_keys, old_quantiles)
    assert origins(match) == {0: {2}, 1: {0}, 2: {0}, 5: {3}}  # a missing price was quantile 3 and is now 4
    assert match.used_rows.tolist() == [0, 2, 3]


def test_rows_that_stand_for_something_else_are_not_matched() -> None:
    tokens = RowKeys("vocabulary", "app", 1)
    assert match_rows(tokens, RowKeys("hash"), 2, 2, [b"a"]).why == (
        "the rows stood for vocabulary and now stand for hash"
    )
    hashed = [RowKeys("hash", features=("app", "price"), quantiles={"price": n}) for n in (4, 5)]
    match = match_rows(hashed[0], hashed[1], 9, 9, old_quantiles={"price": np.arange(5)})
    assert match.num_transferred == 0
    assert match.why == "the crossed features' quantiles changed from {'price': 4} to {'price': 5}"
    no_number = RowKeys("hash", features=("app", "price"))
    assert match_rows(no_number, hashed[0], 9, 9).why == "the numeric features changed from [] to ['price']"


def test_counts_are_matched_bucket_by_bucket() -> None:
    keys = RowKeys("share")
    assert origins(match_rows(keys, keys, 3, 3)) == {0: {0}, 1: {1}, 2: {2}}
    match = match_rows(keys, keys, 3, 4)
    assert match.num_transferred == 0
    assert match.why == "the number of buckets changed from 3 to 4"
    assert match_rows(keys, RowKeys("rows"), 3, 3).why == "the rows stood for share and now stand for rows"
