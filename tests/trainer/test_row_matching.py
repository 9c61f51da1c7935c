"""Which old row each new row starts from."""

from __future__ import annotations

import numpy as np

from trainer.row_matching import match_rows
from trainer.tables import RowKeys


def test_tokens_are_matched_by_their_bytes() -> None:
    keys = RowKeys("vocabulary", "app", oov_buckets=2)
    match = match_rows(keys, keys, 5, 6, [b"a", b"b", b"c"], [b"c", b"new", b"a\x00", b"a"])
    pairs = dict(zip(match.new_rows.tolist(), match.old_rows.tolist(), strict=True))
    assert pairs == {0: 2, 3: 0, 4: 3, 5: 4}  # c, a and the two out-of-vocabulary buckets; b is gone
    assert match.why == ""


def test_another_number_of_oov_buckets_starts_from_their_mean() -> None:
    old, new = RowKeys("vocabulary", "app", oov_buckets=2), RowKeys("vocabulary", "app", oov_buckets=3)
    match = match_rows(old, new, 3, 4, [b"a"], [b"a"])
    assert match.new_rows.tolist() == match.old_rows.tolist() == [0]
    assert match.mean_of.tolist() == [1, 2]
    assert match.mean_for.tolist() == [1, 2, 3]
    assert match.why == "the out-of-vocabulary buckets changed from 2 to 3: the new ones start from the old ones' mean"


def test_buckets_and_quantiles_are_matched_all_or_none() -> None:
    for kind in ("hash", "quantiles"):
        keys = RowKeys(kind)
        match = match_rows(keys, keys, 4, 4)
        np.testing.assert_array_equal(match.new_rows, [0, 1, 2, 3])
        np.testing.assert_array_equal(match.old_rows, [0, 1, 2, 3])
        changed = match_rows(keys, keys, 4, 5)
        assert changed.new_rows.size == 0
        assert "changed from 4 to 5" in changed.why


def test_rows_that_stand_for_something_else_are_not_matched() -> None:
    tokens = RowKeys("vocabulary", "app", 1)
    assert "now stand for hash" in match_rows(tokens, RowKeys("hash"), 2, 2, [b"a"]).why
    assert "was replaced" in match_rows(tokens, RowKeys("vocabulary", "other", 1), 2, 2, [b"a"], [b"a"]).why
    crossed = [RowKeys("hash", quantiles={"price": n}) for n in (4, 5)]
    match = match_rows(crossed[0], crossed[1], 9, 9)
    assert match.new_rows.size == 0
    assert "quantiles changed" in match.why
