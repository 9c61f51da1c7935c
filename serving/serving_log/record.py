"""The record of one answered request, a protobuf message, and the candidates that it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from serving.message_tables import Field, message_classes

#: The schema's version in each record. A new field needs no new version; a change of what a field means does.
SCHEMA_VERSION = 1

#: The policy that orders by score alone: nothing is placed by chance.
SCORE_ORDER = "score_order"

#: What a candidate has is in lists of one value a candidate, in the order of the answer: 50 messages in each record
#: would take ten times as long to make as six lists. A tf.Example is stored as it was sent, so that a row can be
#: trained on, or scored again, bit by bit as it was scored.
MESSAGES: dict[str, tuple[Field, ...]] = {
    "LoggedRequest": (
        Field("schema_version", 1, "int32"),
        Field("request_id", 2, "string"),
        Field("time_micros", 3, "int64"),
        Field("user_key", 4, "string"),
        Field("model", 5, "string"),
        Field("version", 6, "int64"),
        Field("signature", 7, "string"),
        Field("policy", 8, "string"),
        Field("sample", 9, "double"),
        Field("context", 10, "bytes"),
        Field("catalog_digest", 11, "string"),
        Field("num_returned", 12, "int32"),
        Field("item_ids", 13, "string", "many"),
        Field("scores", 14, "float", "many"),
        Field("propensities", 15, "float", "many"),
        Field("item_features", 16, "bytes", "many"),
        Field("in_catalog", 17, "bool", "many"),
    )
}

#: One answered request.
#:
#: schema_version: `SCHEMA_VERSION` of the writer.
#: request_id: The id with its MAC, which the answer carries too (`request_ids`).
#: time_micros: When the answer was ready, microseconds since 1970-01-01 UTC, by the writer's clock.
#: user_key: The user's key as the caller gave it; empty if it gave none.
#: model, version, signature: What answered.
#: policy: What ordered the candidates; `score_order` orders by score alone.
#: sample: The share of requests that the writer logs, in (0, 1].
#: context: The context's serialized tf.Example, as it was sent to the model.
#: catalog_digest: The digest of the version's catalog snapshot, which has the features of candidates that were sent by
#:   id; empty if the model does not say it.
#: num_returned: The number of items returned to the caller: the first so many of `item_ids`.
#: item_ids: All candidates, in the order of the answer.
#: scores: Each candidate's score, float32 as the model returned it.
#: propensities: The probability with which the policy gives each candidate its place, given the scores; empty if all
#:   are 1.
#: item_features: Each candidate's serialized tf.Example as it was sent, empty for one that was sent by id alone; no
#:   values at all if every candidate was.
#: in_catalog: Whether the model's catalog has each candidate; no values if the model does not say it.
LoggedRequest = message_classes("wide_deep_ranker_serving_log", MESSAGES)["LoggedRequest"]


class LoggedCandidate(NamedTuple):
    """A candidate of a logged request.

    Attributes:
      item_id: The item id.
      rank: Its place in the answer, from 1.
      score: Its score.
      propensity: The probability with which the policy gave it its place.
      features: Its serialized tf.Example as it was sent; empty if it was sent by id, and the catalog has its features.
      in_catalog: Whether the model's catalog has it; None if the model does not say it.
    """

    item_id: str
    rank: int
    score: float
    propensity: float
    features: bytes
    in_catalog: bool | None


def is_whole(record: Any) -> bool:
    """Whether a record's lists fit together: one value a candidate, or none where the field may be empty."""
    number = len(record.item_ids)
    optional = (record.propensities, record.item_features, record.in_catalog)
    return len(record.scores) == number and all(len(values) in (0, number) for values in optional)


def candidates(record: Any) -> Iterator[LoggedCandidate]:
    """Yields a record's candidates in the order of the answer; the record must be whole (`is_whole`).

    Args:
      record: A LoggedRequest. With `item_ids` `["b", "a"]`, `scores` `[0.5, 0.25]` and nothing else, the first
        candidate is `LoggedCandidate("b", 1, 0.5, 1.0, b"", None)`.
    """
    number = len(record.item_ids)
    columns = zip(
        record.item_ids,
        range(1, number + 1),
        record.scores,
        record.propensities or [1.0] * number,
        record.item_features or [b""] * number,
        record.in_catalog or [None] * number,
        strict=True,
    )
    return map(LoggedCandidate._make, columns)
