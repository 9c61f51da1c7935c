"""The format `serving_log`: the names of the columns that `wdr export-log` writes, and the rules of a config with it.

A row of the impressions' files is a candidate of a request, with its features as they were scored: those of the context
in `context.NAME`, those of the item in `item.NAME`, by the feature's name. A row of the installs' files is an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transform.feature import Feature

SERVING_LOG = "serving_log"

REQUEST_ID, ITEM_ID, TIMESTAMP = "request_id", "item_id", "timestamp"

#: What a reader makes of the request's id and the item's: no column of the files.
IMPRESSION_ID = "impression_id"

#: Where an item was shown, from 1: of an event of the type `shown`, and of the impression that it makes.
POSITION = "position"

#: A candidate's place by score, from 1, its score, and the version of the model that gave it.
RANK, SCORE, VERSION = "rank", "score", "version"

#: Of an event: its type; whether the MAC of its request's id is wrong; when it arrived, in seconds since 1970.
EVENT_TYPE, FORGED, RECEIVED = "type", "forged", "received"

#: The types of events, in the order of their numbers in ingestion.
EVENT_TYPES = ("shown", "install", "click", "uninstall")

#: Before the name of a column of the log itself, in a feature's `column`.
_OF_LOG = "log."

#: What a feature may read of the log itself; `rank` is the place by score, from 1.
LOG_COLUMNS = (POSITION, RANK, SCORE, "propensity", "policy", "model", VERSION, "user")


def logged_column(feature: Feature, item_id: Feature | None) -> str:
    """Returns the column of the log that holds a feature as it was scored.

    Args:
      feature: The feature.
      item_id: The feature that identifies items; it is the candidate's id.
    """
    if item_id is not None and feature.name == item_id.name:
        return ITEM_ID
    if feature.source_column.startswith(_OF_LOG):
        return feature.source_column.removeprefix(_OF_LOG)
    return f"{feature.side}.{feature.name}"


def check_log_columns(features: Sequence[Feature]) -> None:
    """Raises ValueError if a feature reads a column of the log itself that the log does not have."""
    for feature in features:
        column = feature.source_column
        if column.startswith(_OF_LOG) and column.removeprefix(_OF_LOG) not in LOG_COLUMNS:
            allowed = ", ".join(f"`{_OF_LOG}{name}`" for name in LOG_COLUMNS)
            raise ValueError(
                f"feature `{feature.name}` reads a column that a log of the format {SERVING_LOG} does not have. "
                f"Received: {column!r}; allowed: {allowed}"
            )


def check_sources(impressions: Any, installs: Any) -> None:
    """Raises ValueError unless a config's log and installs are both of this format, with its columns, or neither.

    Args:
      impressions: The section `sources.impressions`.
      installs: The section `sources.installs`; None if there is none.
    """
    is_served = impressions.format == SERVING_LOG
    if not is_served and (installs is None or installs.format != SERVING_LOG):
        return
    if not is_served or installs is None or installs.format != SERVING_LOG:
        received = f"{impressions.format} and {'no installs' if installs is None else installs.format}"
        raise ValueError(
            f"`impressions` and `installs` are both of the format {SERVING_LOG}, or neither. Received: {received}"
        )
    required: list[tuple[str, Any, Any]] = [
        ("impressions.request_id", impressions.request_id, REQUEST_ID),
        ("impressions.impression_id", impressions.impression_id, IMPRESSION_ID),
        ("impressions.timestamp", impressions.timestamp, TIMESTAMP),
        ("impressions.timestamp_format", impressions.timestamp_format, None),
        ("impressions.weight", impressions.weight, None),
        ("impressions.splits", impressions.splits, None),
        ("installs.keys", installs.keys, (REQUEST_ID, ITEM_ID)),
        ("installs.timestamp", installs.timestamp, TIMESTAMP),
        ("installs.timestamp_format", installs.timestamp_format, None),
    ]
    for key, value, needed in required:
        if value != needed:
            pair: list[Any] = [[*of] if isinstance(of, tuple) else of for of in (needed, value)]
            raise ValueError(
                f"with the format {SERVING_LOG}, `sources.{key}` must be {pair[0]}, as `wdr export-log` writes it. "
                f"Received: {pair[1]}"
            )
