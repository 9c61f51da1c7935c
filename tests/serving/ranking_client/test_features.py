"""Tests of encoding features (strings, numbers, the dtypes that the model declares, invalid values) and candidates."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from serving.ranking_client.errors import RequestError
from serving.ranking_client.features import Candidates, Features, encode_candidates, encode_example
from serving.ranking_client.settings import ClientSettings

SETTINGS = ClientSettings(model="m", max_candidates=5)

KINDS = {"hour": types_pb2.DT_STRING, "age": types_pb2.DT_FLOAT}


def decoded(serialized: bytes) -> dict[str, list[Any]]:
    feature = tf.train.Example.FromString(serialized).features.feature
    return {name: [*f.bytes_list.value, *f.float_list.value, *f.int64_list.value] for name, f in feature.items()}


def test_texts_are_bytes_numbers_are_floats_and_nothing_is_missing() -> None:
    features: Features = {
        "country": "Åland",
        "raw": b"\xff",
        "age": 30,
        "price": 0.5,
        "apps": ["a", "b"],
        "sizes": (1, 2.5),
        "none": None,
        "empty": [],
    }
    assert decoded(encode_example(features, "x", 1000)) == {
        "country": ["Åland".encode()],
        "raw": [b"\xff"],
        "age": [30.0],
        "price": [0.5],
        "apps": [b"a", b"b"],
        "sizes": [1.0, 2.5],
    }


def test_the_model_s_kinds_tell_what_an_integer_is() -> None:
    features: Features = {"hour": 7, "age": 7, "other": 7}
    assert decoded(encode_example(features, "x", 1000, KINDS)) == {"hour": [b"7"], "age": [7.0], "other": [7.0]}


def test_a_serialized_example_is_taken_as_it_is() -> None:
    assert encode_example(b"anything", "x", 8) == b"anything"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("f", True, "must be a text, a number, or a list of either. Received: 'True'"),
        ("f", ["a", 1], "must be a text, a number, or a list of either. Received: "),
        ("f", [1, None], "must be a text, a number, or a list of either. Received: "),
        ("f", {"a": "b"}, "must be a text, a number, or a list of either. Received: "),
        ("f", float("nan"), "must be within float32's range. Received: nan"),
        ("f", [1.0, float("inf")], "must be within float32's range. Received: "),
        ("f", 1e39, "must be within float32's range. Received: 1e+39"),
        ("f", 10**400, "must be within float32's range. Received: 1000"),
        ("f", "\ud800", r"must be a text that UTF-8 has. Received: '\ud800'"),
        ("hour", 7.5, "must be a text, an integer, or a list of them. Received: '7.5'"),
        ("hour", True, "must be a text, an integer, or a list of them. Received: 'True'"),
        ("age", "7", "must be a number, or a list of numbers. Received: '7'"),
    ],
)
def test_what_no_feature_can_be(name: str, value: Any, problem: str) -> None:
    with pytest.raises(RequestError) as raised:
        encode_example({name: value}, "the context", 1000, KINDS)
    assert str(raised.value).startswith(f"feature {name!r} of the context {problem}")


def test_a_name_that_utf_8_does_not_have_is_refused() -> None:
    problem = r"^the name of a feature of the context must be a text that UTF-8 has. Received: '\\ud800'$"
    with pytest.raises(RequestError, match=problem):
        encode_example({"f": 1, "\ud800": 1}, "the context", 1000)


def test_a_long_example_is_refused() -> None:
    with pytest.raises(RequestError, match=r"^the context must have at most 99 bytes\. Received: 1\d\d$"):
        encode_example({"f": "x" * 100}, "the context", 99)


def test_ids_alone_and_with_features() -> None:
    encoded = encode_candidates(["a", ("b", {"price": 1.0}), ("ö", b"example"), ("c", {})], SETTINGS)
    assert encoded.ids == (b"a", b"b", b"\xc3\xb6", b"c")
    assert encoded.items == (b"", encode_example({"price": 1.0}, "x", 100), b"example", b"")


@pytest.mark.parametrize(
    ("number", "size", "expected"),
    [
        (200, None, [200]),
        (200, 50, [50, 50, 50, 50]),
        (200, 200, [200]),
        (201, 200, [100, 101]),
        (7, 3, [2, 3, 2]),
        (2, 1, [1, 1]),
    ],
)
def test_parts_are_few_and_alike(number: int, size: int | None, expected: list[int]) -> None:
    ids = tuple(str(i).encode() for i in range(number))
    parts = list(Candidates(ids, tuple(b"" for _ in ids)).parts(size))
    assert [len(part.ids) for part in parts] == expected
    assert [item_id for part in parts for item_id in part.ids] == list(ids)
    assert all(len(part.items) == len(part.ids) for part in parts)


@pytest.mark.parametrize(
    ("candidates", "problem"),
    [
        ([], "candidates must be 1 to 5. Received: 0"),
        (["a"] * 6, "candidates must be 1 to 5. Received: 6"),
        ("abc", "candidates must be a list of item ids. Received: 'abc'"),
        (["a", ""], "candidate 1's id must have 1 to 1,000 bytes. Received: 0"),
        (["ö" * 501], "candidate 0's id must have 1 to 1,000 bytes. Received: 1,002"),
        ([7], "candidate 0 must be an item id, a text. Received: 7"),
        (["\ud800"], r"candidate 0 must be a text that UTF-8 has. Received: '\ud800'"),
        ([("a", {"f": True})], "feature 'f' of candidate 0's item must be "),
    ],
)
def test_what_no_candidates_can_be(candidates: Any, problem: str) -> None:
    with pytest.raises(RequestError) as raised:
        encode_candidates(candidates, SETTINGS)
    assert str(raised.value).startswith(problem)
