"""Logs an answered request to the serving log, as it was sent and answered."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from serving.ranking_client.features import Candidates
from serving.ranking_client.ranked import RankedItem
from serving.serving_log.log import ServingLog
from serving.serving_log.record import SCORE_ORDER

#: About the memory of a ranked item and its candidate in the queue, without features: three texts and a tuple.
_ITEM_BYTES = 400


def log_ranking(
    log: ServingLog, items: Sequence[RankedItem], candidates: Candidates, context: bytes, **fields: Any
) -> str:
    """Logs a request; returns its id.

    Args:
      log: The log.
      items: All candidates, in the answer's order; the caller may get fewer.
      candidates: The candidates as they were sent.
      context: The context's serialized tf.Example as it was sent.
      **fields: The record's other fields that are neither the log's nor follow from the candidates.
    """
    num_bytes = len(context) + _ITEM_BYTES * len(items) + sum(map(len, candidates.items))
    return log.record(functools.partial(record_fields, items, candidates, {"context": context, **fields}), num_bytes)


def record_fields(items: Sequence[RankedItem], candidates: Candidates, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a record's fields, with those of the candidates; arguments as in `log_ranking`."""
    item_ids, scores, _, _, in_catalog = zip(*items, strict=True)
    item_features: list[bytes] = []
    if any(candidates.items):
        of_id = {item_id.decode(): item for item_id, item in zip(candidates.ids, candidates.items, strict=True)}
        item_features = [of_id[item_id] for item_id in item_ids]
    return {
        **fields,
        "policy": SCORE_ORDER,
        "item_ids": item_ids,
        "scores": scores,
        "item_features": item_features,
        "in_catalog": () if in_catalog[0] is None else in_catalog,
    }
