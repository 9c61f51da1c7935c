"""Logs an answered request to the serving log, as it was sent and answered."""

from __future__ import annotations

from collections.abc import Sequence

from serving.ranking_client.features import Candidates
from serving.ranking_client.ranked import RankedItem, Ranking
from serving.serving_log.log import ServingLog


def log_ranking(
    log: ServingLog,
    ranking: Ranking,
    items: Sequence[RankedItem],
    candidates: Candidates,
    context: bytes,
    user: str,
    catalog_digest: str,
) -> str:
    """Logs a request; returns its id.

    Args:
      log: The log.
      ranking: The answer.
      items: All candidates, in the answer's order; the answer may have fewer.
      candidates: The candidates as they were sent.
      context: The context's serialized tf.Example as it was sent.
      user: The user's key.
      catalog_digest: The digest of the catalog that the model has; empty if it does not say it.
    """
    item_ids, scores, _, _, in_catalog = zip(*items, strict=True)
    features = None
    if any(candidates.items):
        features = {item_id.decode(): item for item_id, item in zip(candidates.ids, candidates.items, strict=True)}
    return log.record(
        model=ranking.model,
        version=ranking.version,
        signature=ranking.signature,
        context=context,
        item_ids=item_ids,
        scores=scores,
        num_returned=len(ranking.items),
        user_key=user,
        item_features=features,
        catalog_digest=catalog_digest,
        in_catalog=() if in_catalog[0] is None else in_catalog,
    )
