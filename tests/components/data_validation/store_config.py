"""The config of a store with installs and a table."""

from __future__ import annotations

CONFIG = {
    "name": "store",
    "sources": {
        "impressions": {"path": "log.csv", "format": "csv", "request_id": "request", "timestamp": "time"},
        "installs": {"path": "installs.csv", "format": "csv", "attribution_seconds": 3600},
        "tables": {"apps": {"path": "apps.csv", "format": "csv", "key": "app_id"}},
    },
    "features": [
        {"name": "country", "side": "context", "kind": "categorical", "vocabulary": {}},
        {"name": "installed", "side": "context", "kind": "categorical_list", "vocabulary": "app_id"},
        {"name": "app_id", "side": "item", "kind": "categorical", "vocabulary": {}},
        {"name": "price", "side": "item", "kind": "numeric", "source": "apps", "num_quantiles": 4},
    ],
    "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
}
