"""Logs an answered request to the serving log, as it was sent and answered."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from serving.ranking_client.features import Candidates
from serving.ranking_client.ranked import RankedItem
from serving.serving_log.exploration import Arrangement
from serving.serving_log.log import ServingLog
from serving.serving_log.record import SCORE_ORDER

#: About the memory of a ranked item and its candidate in the queue, without features: three texts and a tuple.
_ITEM_BYTES = 400


def log_ranking(
    log: ServingLog,
    request_id: str,
    items: Sequence[RankedItem],
    candidates: Candidates,
    context: bytes,
    arrangement: Arrangement | None,
    **fields: Any,
) -> None:
    """Logs a request.

    Args:
      log: The log.
      request_id: The request's id.
      items: All candidates, in the answer's order; the caller may get fewer.
      candidates: The candidates as they were sent.
      context: The context's serialized tf.Example as it was sent.
      arrangement: How exploration has ordered the items; None without it.
      **fields: The record's other fields that are neither the log's nor follow from the candidates.
    """
    num_bytes = len(context) + _ITEM_BYTES * len(items) + sum(map(len, candidates.items))
    fields |= {"context": context, "policy": SCORE_ORDER}
    if arrangement is not None:
        fields["policy"] = arrangement.policy
        fields["propensities"] = () if set(arrangement.propensities) == {1.0} else arrangement.propensities
    log.record(request_id, functools.partial(record_fields, items, candidates, fields), num_bytes)


def record_fields(items: Sequence[RankedItem], candidates: Candidates, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a record's fields, with those of the candidates; arguments as in `log_ranking`."""
    item_ids, scores, _, _, in_catalog = zip(*items, strict=True)
    item_features: list[bytes] = []
    if any(candidates.items):
        of_id = {item_id.decode(): item for item_id, item in zip(candidates.ids, candidates.items, strict=True)}
        item_features = [of_id[item_id] for item_id in item_ids]
    return {
        **fields,
        "item_ids": item_ids,
        "scores": scores,
        "item_features": item_features,
        "in_catalog": () if in_catalog[0] is None else in_catalog,
    }
