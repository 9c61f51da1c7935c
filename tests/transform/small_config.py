"""A small config as the YAML parser returns it, and helpers that change single places of it."""

from __future__ import annotations

import copy
from typing import Any

from transform.config.config import Config
from transform.config.config_file import parse_config

FILE = "small.yaml"

_RAW: dict[str, Any] = {
    "name": "small",
    "sources": {
        "impressions": {"path": "log.csv", "format": "csv", "label": "clicked", "request_id": "request"},
        "tables": {"catalog": {"path": "apps.csv", "format": "csv", "key": "app", "broadcast": True}},
    },
    "features": [
        {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {"min_count": 2}},
        {"name": "installed", "side": "context", "kind": "categorical_list", "vocabulary": "app"},
        {"name": "price", "side": "item", "kind": "numeric", "source": "catalog", "num_quantiles": 4},
    ],
    "crosses": [{"features": ["installed", "app"], "min_count": 2}],
    "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
}


class _Removed:
    def __repr__(self) -> str:
        return "REMOVED"


#: The value that removes a key.
REMOVED = _Removed()


def small_raw() -> dict[str, Any]:
    """A fresh copy of the small config."""
    return copy.deepcopy(_RAW)


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The small config with values set (or REMOVED) at places such as `features.0.name`."""
    raw: Any = small_raw()
    for place, value in changes:
        *way, last = place.split(".")
        node = raw
        for key in way:
            node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
        if value is REMOVED:
            del node[last]
        elif isinstance(node, list):
            node[int(last) : int(last) + 1] = [value]
        else:
            node[last] = value
    return raw  # type: ignore[no-any-return]


def small_config(*changes: tuple[str, Any]) -> Config:
    """The small config, parsed, with values changed."""
    return parse_config(changed(*changes), FILE)
