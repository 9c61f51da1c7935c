"""A store whose item features come from the log, tables with and without broadcast, and one of developers.

`features_of` computes in plain Python which item features an example must contain.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transform.config.config import Config
from transform.config.config_file import parse_config

#: Values by feature, as in a tf.Example; a feature without a value has an empty list or is left out.
Values = dict[str, list[Any]]

APPS = [f"app{i}" for i in range(12)]
#: The catalog lacks the last two apps; the table of ratings lacks a third one.
IN_CATALOG, RATED = APPS[:10], [*APPS[:7], *APPS[8:10]]
DEVELOPERS = ["ada", "bob", "cyd"]

_FEATURES: list[dict[str, Any]] = [
    {"name": "country", "side": "context", "kind": "categorical", "vocabulary": {}},
    {"name": "installed", "side": "context", "kind": "categorical_list", "vocabulary": "app"},
    {"name": "age", "side": "context", "kind": "numeric", "num_quantiles": 5, "scale": "standard"},
    {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {"num_oov_buckets": 3}},
    {"name": "discount", "side": "item", "kind": "numeric", "num_quantiles": 4, "scale": "log"},
    {"name": "maker", "column": "developer", "side": "item", "kind": "categorical", "vocabulary": {}},
    {"name": "shelf", "side": "item", "kind": "categorical", "vocabulary": {}},
    {"name": "tags", "side": "item", "kind": "categorical_list", "source": "catalog", "vocabulary": {}},
    {"name": "developer", "side": "item", "kind": "categorical", "source": "catalog", "vocabulary": {}},
    {"name": "price", "side": "item", "kind": "numeric", "source": "catalog", "num_quantiles": 4},
    {"name": "rating", "side": "item", "kind": "numeric", "source": "ratings", "num_quantiles": 5},
    {"name": "size", "side": "item", "kind": "categorical", "source": "developers", "vocabulary": {}},
]
FEATURES = {feature["name"]: feature for feature in _FEATURES}
TABLES: dict[str, dict[str, Any]] = {
    "catalog": {"path": "catalog.csv", "format": "csv", "key": "app", "broadcast": True},
    "ratings": {"path": "ratings.csv", "format": "csv", "key": "id", "impression_key": "app"},
    "developers": {"path": "developers.csv", "format": "csv", "key": "developer"},
}
CROSSES: list[dict[str, Any]] = [
    {"features": ["installed", "app"], "min_count": 1},
    {"features": ["tags", "installed"], "min_count": 1},
    {"features": ["age", "price"], "min_count": 1},
    {"features": ["country", "tags"], "num_hash_buckets": 50},
    {"features": ["age", "rating", "country"], "num_hash_buckets": 25},
    {"features": ["app", "price"], "num_hash_buckets": 40},
    {"features": ["country", "discount"], "min_count": 1},
]
COUNTS: list[dict[str, Any]] = [
    {"features": ["app"]},
    {"features": ["country", "app"]},
    {"features": ["country", "rating"]},
]


def store_config(
    names: list[str], *, tables: Mapping[str, Any] | None = None, item_id: str | None = None, **sections: Any
) -> Config:
    """A config with some of `FEATURES`, the tables that they need, and the crosses and counts that they allow.

    Args:
      names: The features.
      tables: Additional keys of tables, by table name.
      item_id: The column with the item's id.
      **sections: Sections that replace those of the config.
    """
    features = [FEATURES[name] for name in names]
    combined = {
        key: [c for c in combinations if set(c["features"]) <= {*names}]
        for key, combinations in (("crosses", CROSSES), ("count_encodings", COUNTS))
    }
    used = {f["source"] for f in features if "source" in f}
    log = {"path": "log.csv", "format": "csv", "label": "y", "request_id": "r", "item_id": item_id}
    sources = {
        "impressions": log,
        "tables": {name: TABLES[name] | (tables or {}).get(name, {}) for name in TABLES if name in used},
    }
    return parse_config(
        {
            "name": "items",
            "sources": sources,
            "features": features,
            **combined,
            "model": {"embedding_dim": 4, "hidden_units": [16, 8]},
            "ingestion": {"eval_fraction": 0.5},
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        }
        | sections,
        "test",
    )


class Store:
    """The store's rows, drawn with a seed.

    Args:
      seed: The seed of all random draws.
    """

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self._rng = rng
        self.developer_of = {app: rng.choice(DEVELOPERS) for app in APPS}
        tags = ["game", "free", "new", "kids"]
        #: The row's features, by table and key.
        self.tables: dict[str, dict[str, Values]] = {
            "catalog": {
                app: {
                    "developer": [self.developer_of[app]] if rng.random() < 0.8 else [],
                    "tags": rng.sample(tags, rng.randint(0, 3)),
                    "price": [] if rng.random() < 0.2 else [round(rng.uniform(0, 10), 3)],
                }
                for app in IN_CATALOG
            },
            "ratings": {app: {"rating": [round(rng.uniform(1, 5), 3)]} for app in RATED},
            "developers": {name: {"size": [size]} for name, size in zip(DEVELOPERS, ("small", "large"), strict=False)},
        }

    def context(self) -> Values:
        rng = self._rng
        return {
            "country": [] if rng.random() < 0.1 else [rng.choice("abcd")],
            "installed": rng.sample([*APPS, "unheard of"], rng.randint(0, 5)),
            "age": [] if rng.random() < 0.1 else [round(rng.uniform(0, 90), 3)],
        }

    def shown(self) -> Values:
        """The item features that only the log has, besides the id and the developer."""
        return {"discount": [round(self._rng.uniform(0, 1), 3)], "shelf": [self._rng.choice(["top", "new"])]}

    def features_of(self, app: str) -> Values:
        """The item's features from the tables; the developers' table is joined by the catalog's developer."""
        found: Values = self.tables["catalog"].get(app, {}) | self.tables["ratings"].get(app, {})
        for developer in found.get("developer", []):
            found = found | self.tables["developers"].get(developer, {})
        return found

    def write(self, folder: Path, num_rows: int) -> None:
        """Writes the log and the tables as CSV files."""
        log = []
        for number in range(num_rows):
            app = self._rng.choice(APPS)
            row = self.context() | self.shown() | {"app": [app], "developer": [self.developer_of[app]]}
            log.append(row | {"r": [f"r{number}"], "y": [self._rng.randint(0, 1)]})
        folder.mkdir(parents=True)
        _write(folder / "log.csv", log)
        for name, rows in self.tables.items():
            _write(folder / f"{name}.csv", [{TABLES[name]["key"]: [key], **row} for key, row in rows.items()])


def _write(path: Path, rows: list[Values]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: "|".join(map(str, values)) for name, values in row.items()} for row in rows)
