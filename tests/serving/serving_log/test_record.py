"""The log's record: its fields on the wire, and its candidates."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from serving.ranking_client.features import encode_example
from serving.ranking_client.protos import Example
from serving.serving_log.record import LoggedCandidate, LoggedRequest, candidates, is_whole
from tests.serving.serving_log.records import record


def test_a_record_has_the_bytes_of_its_schema() -> None:
    """By hand: a tag is field number x 8 + wire type; numbers of a list are packed."""
    written = LoggedRequest(schema_version=1, request_id="r", version=300, item_ids=["b", "a"], scores=[0.5, 0.25])
    expected = b"\x08\x01" + b"\x12\x01r" + b"\x30\xac\x02" + b"\x6a\x01b\x6a\x01a"
    expected += b"\x72\x08" + struct.pack("<2f", 0.5, 0.25)
    assert written.SerializeToString() == expected


def test_candidates_are_in_the_order_of_the_answer() -> None:
    assert list(candidates(record())) == [
        LoggedCandidate("b", 1, 0.5, 1.0, b"", None),
        LoggedCandidate("a", 2, 0.25, 1.0, b"", None),
    ]


def test_a_candidate_has_what_its_lists_have() -> None:
    features = encode_example({"price": 0.1}, "an item", 100)
    full = record(propensities=[0.75, 0.125], item_features=[b"", features], in_catalog=[True, False])
    first, second = candidates(full)
    assert first == LoggedCandidate("b", 1, 0.5, 0.75, b"", True)
    assert second == LoggedCandidate("a", 2, 0.25, 0.125, features, False)
    (price,) = Example.FromString(second.features).features.feature["price"].float_list.value
    assert struct.pack("<f", price) == struct.pack("<f", 0.1)


@pytest.mark.parametrize(
    "fields",
    [{"scores": [0.5]}, {"scores": []}, {"propensities": [1.0]}, {"item_features": [b""] * 3}, {"in_catalog": [True]}],
)
def test_a_record_whose_lists_do_not_fit_is_not_whole(fields: dict[str, Any]) -> None:
    assert is_whole(record())
    assert not is_whole(record(**fields))
