"""A config with every kind of cross."""

from __future__ import annotations

from typing import Any

CONFIG: dict[str, Any] = {
    "sources": {
        "impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"},
        "tables": {"catalog": {"path": "c.csv", "format": "csv", "key": "app", "broadcast": True}},
    },
    "features": [
        {"name": "country", "side": "context", "kind": "categorical", "vocabulary": {}},
        {"name": "installed", "side": "context", "kind": "categorical_list", "vocabulary": "app"},
        {"name": "age", "side": "context", "kind": "numeric", "num_quantiles": 5},
        {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {"num_oov_buckets": 3}},
        {"name": "tags", "side": "item", "kind": "categorical_list", "source": "catalog", "vocabulary": {}},
        {"name": "price", "side": "item", "kind": "numeric", "source": "catalog", "num_quantiles": 4},
    ],
    "crosses": [
        {"features": ["installed", "app"], "min_count": 1},
        {"features": ["tags", "installed"], "min_count": 1},
        {"features": ["age", "price"], "min_count": 1},
        {"features": ["country", "app", "installed"], "min_count": 1},
        {"features": ["country", "tags"], "num_hash_buckets": 50},
        {"features": ["price", "installed"], "num_hash_buckets": 30},
        {"features": ["country", "installed"], "min_count": 1},
        {"features": ["app", "price"], "num_hash_buckets": 40},
        {"features": ["age", "app", "country"], "num_hash_buckets": 25},
    ],
    "count_encodings": [{"features": ["country", "app"]}, {"features": ["app"]}],
}
