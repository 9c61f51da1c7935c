"""All signatures give a candidate the same score, whatever the item features' source; or the signature is absent.

Each config is exported from ingestion's artifacts, so that `rank` knows an item only from the snapshot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.components.ingestion.ingested import ingest
from tests.trainer.rank_export.items_store import FEATURES, IN_CATALOG, Store, Values, store_config
from tests.trainer.small_deployment import Row, to_example, transform_span
from trainer.rank_export.catalog import read_items
from trainer.signatures import export_model
from trainer.training.setup import prepare
from transform.config.config import Config
from transform.ranking import RANKING_SIGNATURES, absent_signatures

TOLERANCE = 1e-5
CONTEXT = ["country", "installed", "age"]
FROM_TABLES = [*CONTEXT, "app", "tags", "price", "rating"]
UNUSED = FEATURES["discount"] | {"parts": []}


@dataclasses.dataclass(frozen=True)
class Case:
    """A config, and the reason why it has no `rank`; empty if it has one."""

    features: list[str]
    why: str = ""
    ranks_nothing: bool = False
    sections: dict[str, Any] = dataclasses.field(default_factory=dict)


def not_found(*names: str) -> str:
    what = "item features {} are" if len(names) > 1 else "item feature {} is"
    reported = what.format(", ".join(f"`{name}`" for name in names))
    return f"the {reported} in no table that is found by the item id `app`"


CASES = {
    "table without broadcast": Case(["country", "age", "app", "rating"]),
    "lists of both sides": Case(["installed", "app", "tags"]),
    "tables with and without broadcast": Case(FROM_TABLES),
    "table of developers, by the catalog's developer": Case(
        ["country", "app", "developer", "price", "size"], sections={"tables": {"developers": {"item_key": "developer"}}}
    ),
    "id alone, with counts and no cross": Case(["country", "app"]),
    "broadcast table, and a log feature for slices alone": Case(
        ["country", "app", "price"],
        sections={"features": [*(FEATURES[name] for name in ("country", "app", "price")), UNUSED], "crosses": []},
    ),
    "texts and a number from the log, and a table by a developer that only the log has": Case(
        [*FROM_TABLES, "discount", "maker", "shelf", "size"],
        not_found("discount", "maker", "shelf", "size"),
        sections={"tables": {"developers": {"item_key": "maker"}}, "item_id": "app"},
    ),
    "several texts from the log": Case(
        ["country", "app", "shelf"],
        "no item id: it may be any of app, shelf; `sources.impressions.item_id` names it",
        ranks_nothing=True,
    ),
}


@dataclasses.dataclass(frozen=True)
class Ingested:
    """The store's examples, transformed once for all configs, and its catalog."""

    store: Store
    transform_output: str
    catalog: str
    train_files: str


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    folder = tmp_path_factory.mktemp("items")
    store = Store(seed=1)
    store.write(folder / "data", 400)
    config = store_config([*FEATURES], item_id="app", tables={"developers": {"item_key": "developer"}})
    examples = ingest(config, folder / "data", folder / "out").examples
    empty: Row = {name: [] for name in FEATURES}
    rows = [empty | example for split in examples.values() for example in split]
    span = transform_span(config, rows, rows[:10], folder)
    return Ingested(store, span.transform_output, str(folder / "out" / "catalog"), span.train_files)


def list_signatures(ingested: Ingested, config: Config, folder: Path) -> dict[str, Any]:
    """The signatures of a model with random weights, after export and loading."""
    output = tft.TFTransformOutput(ingested.transform_output)
    prepared = prepare(config, output, [ingested.train_files], [], None)
    model = prepared.model
    draw = np.random.default_rng(5)
    for variable in model.trainable_variables:
        values = draw.normal(scale=0.3, size=variable.shape)
        variable.assign(np.where(draw.random(variable.shape) < 0.2, 0, values))
    export_model(model, output, config, str(folder / "model"), read_items(config, ingested.catalog), prepared.counts)
    signatures: dict[str, Any] = tf.saved_model.load(str(folder / "model")).signatures
    return signatures


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_all_signatures_agree_or_are_absent(ingested: Ingested, tmp_path: Path, name: str) -> None:
    case, store = CASES[name], ingested.store
    config = store_config(case.features, **case.sections)
    signatures = list_signatures(ingested, config, tmp_path)

    absent = absent_signatures(config)
    expected_absent = RANKING_SIGNATURES if case.ranks_nothing else ("rank", "rank_named") if case.why else ()
    assert absent == dict.fromkeys(expected_absent, case.why)
    assert signatures.keys() & {*RANKING_SIGNATURES} == {*RANKING_SIGNATURES} - absent.keys()
    if case.ranks_nothing:
        return

    used = {f.name for f in config.spec.features}
    candidates = [*IN_CATALOG, "app11", "never seen", "app3", "", "app3"]
    contexts = [of(store.context(), used & {*CONTEXT}) for _ in range(20)]
    shown = {app: store.shown() | {"maker": ["ada"]} for app in candidates}
    items = [of(store.features_of(app) | shown[app] | {"app": [app]}, used - {*CONTEXT}) for app in candidates]
    rows = [[to_example(context | item) for item in items] for context in contexts]
    flat = tf.reshape(tf.constant(rows), [-1])
    scores = signatures["serving_default"](examples=flat)["scores"].numpy().reshape(20, -1)
    ids = tf.constant([candidates] * 20)
    given = tf.constant([[to_example(item) for item in items]] * 20)
    examples = tf.constant([to_example(context) for context in contexts])

    if "rank" not in absent:
        assert np.ptp(scores, axis=1).min() > 100 * TOLERANCE  # the items differ
        check(signatures["rank"](context=examples, item_ids=ids), candidates, scores)
        check(signatures["rank_named"](item_ids=ids, **named(contexts, config)), candidates, scores)
        nothing = tf.fill(ids.shape, b"")
        check(signatures["rank_items"](context=examples, item_ids=ids, items=nothing), candidates, scores)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match="must have the features of every item"):
            signatures["rank_items"](context=examples, item_ids=ids, items=tf.fill(ids.shape, b""))
    check(signatures["rank_items"](context=examples, item_ids=ids, items=given), candidates, scores)


@pytest.mark.parametrize(
    ("features", "why"),
    [
        (["country", "discount"], "no item id: no categorical item feature is read from the impressions"),
        (["app", "price"], "there is no context feature"),
    ],
)
def test_why_a_model_ranks_nothing(features: list[str], why: str) -> None:
    assert absent_signatures(store_config(features)) == dict.fromkeys(RANKING_SIGNATURES, why)


@pytest.mark.parametrize(
    ("features", "names"),
    [
        (["country", "app", "shelf", "price"], ["shelf"]),
        (["country", "app", "price", "size"], ["size"]),
        ([*FROM_TABLES, "discount", "size"], ["discount", "size"]),
    ],
)
def test_why_a_model_ranks_only_items_that_bring_their_features(features: list[str], names: list[str]) -> None:
    """A text from the log, a table joined by another key, and a number from the log."""
    assert absent_signatures(store_config(features)) == dict.fromkeys(("rank", "rank_named"), not_found(*names))


def test_a_declared_item_id_goes_before_what_joins_a_table() -> None:
    """A table of developers is joined by the log's developer column, which is not the item id."""
    tables = {"developers": {"impression_key": "developer"}}
    names = ["country", "app", "maker", "size"]
    assert store_config(names, tables=tables).item_id == store_config(names).spec.by_name["maker"]
    declared = store_config(names, tables=tables, item_id="app")
    assert declared.item_id == declared.spec.by_name["app"]
    assert absent_signatures(declared) == dict.fromkeys(("rank", "rank_named"), not_found("maker", "size"))


def of(values: Values, names: set[str]) -> Values:
    return {name: values[name] for name in names if name in values}


def check(outputs: dict[str, tf.Tensor], candidates: Sequence[str], expected: np.ndarray) -> None:
    """Checks that the candidates are sorted best first with the expected scores; those without an id last, with 0."""
    has_id = np.array([candidate != "" for candidate in candidates])
    for ids, scores, row in zip(outputs["item_ids"].numpy(), outputs["scores"].numpy(), expected, strict=True):
        order = np.argsort(-np.where(has_id, row, -1), kind="stable")
        assert sorted(ids.astype(str)) == sorted(candidates)
        np.testing.assert_allclose(scores, np.where(has_id, row, 0)[order], rtol=0, atol=TOLERANCE)
        of_candidate = dict(zip(candidates, np.where(has_id, row, 0), strict=True))
        np.testing.assert_allclose(scores, [of_candidate[i] for i in ids.astype(str)], rtol=0, atol=TOLERANCE)


def named(contexts: list[Values], config: Config) -> dict[str, tf.Tensor]:
    """The contexts as one tensor per feature."""
    tensors = {}
    for feature in config.features_of("impressions"):
        if feature.side != "context":
            continue
        values = [context[feature.name] for context in contexts]
        if feature.is_list:
            longest = max(map(len, values))
            tensors[feature.name] = tf.constant([v + [""] * (longest - len(v)) for v in values])
        else:
            nothing: Any = float("nan") if feature.of_kind.holds == "number" else ""
            tensors[feature.name] = tf.constant([(v or [nothing])[0] for v in values])
    return tensors
