"""Which item features a model's `rank` finds by an item's id, and which ranking signatures a config has."""

from __future__ import annotations

from collections.abc import Mapping

from transform.config.component_settings import DataSettings
from transform.config.sources import Table
from transform.feature import IMPRESSIONS, Feature
from transform.signature_names import RANK_ITEMS_SIGNATURE, RANK_NAMED_SIGNATURE, RANK_SIGNATURE

#: The ranking signatures, in the order in which messages list them.
RANKING_SIGNATURES = (RANK_SIGNATURE, RANK_NAMED_SIGNATURE, RANK_ITEMS_SIGNATURE)

#: The signatures that receive no item features and find all of them in the model's catalog.
FROM_CATALOG = (RANK_SIGNATURE, RANK_NAMED_SIGNATURE)


def item_tables(config: DataSettings) -> dict[str, str]:
    """The tables with item features whose rows are found by the item's id; empty if the item id is unknown.

    Ingestion keeps a snapshot of them, and the exported model contains it.

    Returns:
      The feature that holds the table's key, by table: the item's id or, for a table with an `item_key`, a feature from
      one of the tables before it. For example `{"catalog": "app", "developers": "developer"}`.
    """
    item_id = config.item_id
    if item_id is None:
        return {}
    items = [f for f in config.spec.features if f.side == "item"]
    names = sorted({f.source for f in items if f.source != IMPRESSIONS})
    key_features = {name: _key_feature(config.sources.tables[name], item_id) for name in names}
    found: dict[str, str] = {}
    while True:
        known = {item_id.name, *(f.name for f in items if f.source in found)}
        new = {name: key for name, key in key_features.items() if key in known and name not in found}
        if not new:
            return found
        found |= new


def _key_feature(table: Table, item_id: Feature) -> str | None:
    """The item feature that holds a table's key; None if the config does not name it."""
    if table.item_key is None and table.log_column == item_id.source_column:
        return item_id.name
    return table.item_key


def snapshot_tables(config: DataSettings) -> tuple[str, ...]:
    """The tables of which ingestion keeps a snapshot, sorted: the broadcast ones, and those of `item_tables`."""
    broadcast = {name for name, table in config.sources.tables.items() if table.broadcast}
    return tuple(sorted(broadcast | {*item_tables(config)}))


def absent_signatures(config: DataSettings) -> dict[str, str]:
    """Returns why a model of this config lacks a ranking signature.

    Returns:
      The reason, a clause without a full stop, by the name of each of `RANKING_SIGNATURES` that is not exported. For
      example, if the feature `price` is read from the impressions, `rank` and `rank_named` are absent because "the item
      feature `price` is in no table that is found by the item id `app`".
    """
    item_id = config.item_id
    if not any(f.side == "context" for f in config.spec.features):
        return dict.fromkeys(RANKING_SIGNATURES, "there is no context feature")
    if item_id is None:
        return dict.fromkeys(RANKING_SIGNATURES, _no_item_id(config))
    if unfound := _unfound_features(config, item_id):
        names = ", ".join(f"`{name}`" for name in unfound)
        what, verb = ("item features", "are") if len(unfound) > 1 else ("item feature", "is")
        why = f"the {what} {names} {verb} in no table that is found by the item id `{item_id.name}`"
        return dict.fromkeys(FROM_CATALOG, why)
    return {}


def absence_words(absent: Mapping[str, str]) -> list[str]:
    """Formats the result of `absent_signatures` for a user: "no rank, rank_named: there is no context feature"."""
    by_reason: dict[str, list[str]] = {}
    for name, why in absent.items():
        by_reason.setdefault(why, []).append(name)
    return [f"no {', '.join(names)}: {why}" for why, names in by_reason.items()]


def _no_item_id(config: DataSettings) -> str:
    items = [f for f in config.spec.features if f.side == "item"]
    possible = sorted(f.name for f in items if f.is_one_text and f.source == IMPRESSIONS)
    if not possible:
        return "no item id: no categorical item feature is read from the impressions"
    return f"no item id: it may be any of {', '.join(possible)}; `sources.impressions.item_id` names it"


def _unfound_features(config: DataSettings, item_id: Feature) -> list[str]:
    """The names of the item features that the model reads but that no row found by the item's id has."""
    tables = item_tables(config)
    others = [f for f in config.spec.features if f.side == "item" and f.name != item_id.name]
    return sorted(f.name for f in others if f.source not in tables and _is_read(config, f))


def _is_read(config: DataSettings, feature: Feature) -> bool:
    """Whether a model that serves reads a feature; one in no part may be declared only for slices of the evaluation."""
    combinations = config.spec.combinations
    return bool(feature.parts and feature.at_serving is None) or any(
        feature.name in combination.features for combination in combinations
    )
