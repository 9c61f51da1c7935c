"""Keys are found among others, whichever side is larger."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from components.ingestion.stages.lookups import KeyIndex, find_positions, join_keys
from components.ingestion.text_hashes import hashes_of_texts


def test_keys_are_one_text_with_room_for_more_than_2_gib() -> None:
    users, apps = pa.chunked_array([["ab"], ["a", "é"]]), pa.chunked_array([["c"], ["bc", ""]])
    assert join_keys([users, apps]).equals(pa.array(["2:abc", "1:abc", "2:é"], pa.large_string()))
    assert join_keys([apps]).equals(pa.array(["c", "bc", ""], pa.large_string()))


@pytest.mark.parametrize("extra", [0, 100], ids=["fewer keys to look among", "more keys to look among"])
def test_the_position_of_each_key_among_others(extra: int) -> None:
    among = ["b", "", "a", *(f"x{number}" for number in range(extra))]
    keys = ["a", "c", None, "b", "a", "", "c"]
    expected = [among.index(key) if key in among else -1 for key in keys]
    assert find_positions(pa.array(keys), pa.array(among)).tolist() == expected


def length_of(texts: pa.Array) -> npt.NDArray[np.uint64]:
    """A hash that many texts share."""
    return np.array([len(text or "") for text in texts.to_pylist()], np.uint64)


@pytest.mark.parametrize("hashes_of", [hashes_of_texts, length_of])
@pytest.mark.parametrize("indexed_from", [0, 1000], ids=["by sorted hashes", "of a small table"])
def test_keys_are_looked_up_in_an_index(hashes_of: Callable[[pa.Array], Any], indexed_from: int) -> None:
    draw = random.Random(1)
    among = sorted({"".join(draw.choices("aé|0", k=draw.randrange(5))) for _ in range(200)}, key=hash)
    keys = [draw.choice([draw.choice(among), "no key", "zzzz", None]) for _ in range(300)]
    index = KeyIndex(pa.array(among, pa.large_string()), indexed_from, hashes_of)
    expected = [among.index(key) if key in among else -1 for key in keys]
    part = pa.array([*keys, "before", *keys], pa.large_string())
    assert index.positions(part.slice(len(keys) + 1)).tolist() == expected
    assert index.positions(pa.array([], pa.large_string())).tolist() == []
    assert KeyIndex(pa.array([], pa.large_string()), indexed_from, hashes_of).positions(part).tolist() == [-1] * 601
    assert len(index) == len(among)


def test_without_keys_or_without_any_to_look_among() -> None:
    none, some = pa.array([], pa.string()), pa.array(["a"])
    assert find_positions(none, some).tolist() == []
    assert find_positions(some, none).tolist() == [-1]
