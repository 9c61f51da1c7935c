"""Keys are found among others, whichever side is larger."""

from __future__ import annotations

import pyarrow as pa
import pytest

from components.ingestion.lookups import keys_of, positions_of


def test_keys_are_one_text_with_room_for_more_than_2_gib() -> None:
    users, apps = pa.chunked_array([["ab"], ["a", "é"]]), pa.chunked_array([["c"], ["bc", ""]])
    assert keys_of([users, apps]).equals(pa.array(["2:abc", "1:abc", "2:é"], pa.large_string()))
    assert keys_of([apps]).equals(pa.array(["c", "bc", ""], pa.large_string()))


@pytest.mark.parametrize("extra", [0, 100], ids=["fewer keys to look among", "more keys to look among"])
def test_the_position_of_each_key_among_others(extra: int) -> None:
    among = ["b", "", "a", *(f"x{number}" for number in range(extra))]
    keys = ["a", "c", None, "b", "a", "", "c"]
    expected = [among.index(key) if key in among else -1 for key in keys]
    assert positions_of(pa.array(keys), pa.array(among)).tolist() == expected


def test_without_keys_or_without_any_to_look_among() -> None:
    none, some = pa.array([], pa.string()), pa.array(["a"])
    assert positions_of(none, some).tolist() == []
    assert positions_of(some, none).tolist() == [-1]
