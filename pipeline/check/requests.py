"""Check of `wdr check` within requests: a context feature is what all candidates of a request share."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from pipeline.check.first_rows import ReadRows
from transform.config.config import Config
from transform.feature import IMPRESSIONS

#: The share of the requests within which a context may differ, such as the hour of those that are served at its end.
MAX_DIFFERING = 0.05


def count_differing(requests: Iterable[Hashable], values: Iterable[Hashable]) -> tuple[int, int]:
    """Counts the requests of several rows.

    Args:
      requests: Each row's request.
      values: Each row's value; a missing one is a value too.

    Returns:
      How many requests have several different values, and how many have several rows.
    """
    first: dict[Hashable, Hashable] = {}
    several: set[Hashable] = set()
    differing: set[Hashable] = set()
    for request, value in zip(requests, values, strict=True):
        if request not in first:
            first[request] = value
            continue
        several.add(request)
        if first[request] != value:
            differing.add(request)
    return len(differing), len(several)


def differing_contexts(config: Config, impressions: ReadRows) -> list[str]:
    """Finds context features of the impressions that differ within requests.

    A part of a time is not checked: the rows of a request may be written one after another.

    Args:
      config: The config.
      impressions: The first impressions.

    Returns:
      One sentence for each feature that differs within more than `MAX_DIFFERING` of the requests of several rows.
    """
    name = config.sources.impressions.request_id
    features = [f for f in config.features_of(IMPRESSIONS) if f.side == "context" and f.derive is None]
    if name is None or not features:
        return []
    wanted = {(name, "string"), *((config.column_of(f).name, config.column_of(f).kind) for f in features)}
    by_column: dict[tuple[str, str], list[Hashable]] = {
        key: [tuple(value) if isinstance(value, list) else value for value in values.to_pylist()]
        for key, values in impressions.values().items()
        if key in wanted
    }
    requests = by_column[name, "string"]
    columns = {f.name: config.column_of(f) for f in features}
    return [s for name, c in columns.items() if (s := _sentence(name, requests, by_column[c.name, c.kind]))]


def _sentence(name: str, requests: Sequence[Hashable], values: Sequence[Hashable]) -> str:
    num_differing, num_several = count_differing(requests, values)
    if num_differing <= MAX_DIFFERING * num_several:
        return ""
    return (
        f"the context feature `{name}` must be the same for all rows of a request, as a request gives it once. "
        f"Received: several values within {num_differing:,} of {num_several:,} requests; what each candidate has for "
        "itself is `side: item`, and what is known only after the ranking, such as the position, is no feature; "
        "within a session that is taken for a request it may differ"
    )
