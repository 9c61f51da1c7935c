"""A change of the config reaches only the components that it concerns; the others' caches stay valid."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.transform.small_config import REMOVED, small_config
from transform.config import component_configs as scopes
from transform.config.config import Config
from transform.config.infra_validation import InfraValidation

SCOPES = {
    "ingestion": scopes.for_ingestion,
    "data_validation": scopes.for_data_validation,
    "transform": scopes.for_transform,
    "trainer": scopes.for_trainer,
}


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        (("training.batch_size", 64), {"trainer"}),
        (("training.deep_optimizer", {"name": "adam"}), {"trainer"}),
        (("model.embedding_dim", 8), {"trainer"}),
        (("model.parts", "wide"), {"transform", "trainer"}),
        (("features.0.vocabulary.min_count", 3), {"transform", "trainer"}),
        (("features.1.vocabulary", {}), {"data_validation", "transform", "trainer"}),
        (("features.2.num_quantiles", 8), {"transform", "trainer"}),
        (("features.2.parts", ["deep"]), {"transform", "trainer"}),
        (("crosses.0.min_count", 3), {"transform", "trainer"}),
        (("crosses", []), {"transform", "trainer"}),
        (("tuning", {"ranges": {"model.dropout": {"min": 0, "max": 0.5}}}), set()),
        (("evaluation.thresholds.auc.min", 0.9), set()),
        (("evaluation.slices", ["app"]), set()),
        (("infra_validation.num_requests", 5), set()),
        (("skew.num_rows", 5), {"trainer"}),
        (("ingestion.window_spans", 5), set()),
        (("ingestion.max_rejected_fraction", 0.5), {"ingestion"}),
        (("ingestion.eval_fraction", 0.5), {"ingestion", "transform", "trainer"}),
        (("features.0.required", True), {"ingestion", "data_validation", "transform", "trainer"}),
        (("features.0.column", "package"), {"ingestion", "data_validation", "transform", "trainer"}),
        (("sources.impressions.path", "other.csv"), {"ingestion", "data_validation", "transform", "trainer"}),
        (("sources.impressions.weight", "w"), {"ingestion", "data_validation", "transform", "trainer"}),
        (("sources.tables.catalog.broadcast", REMOVED), {"ingestion", "data_validation", "transform", "trainer"}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_change_reaches_whom_it_concerns(change: tuple[str, Any], concerned: set[str]) -> None:
    before, after = small_config(), small_config(change)
    assert before != after
    assert {name for name, scope in SCOPES.items() if scope(before).to_json() != scope(after).to_json()} == concerned


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
def test_a_scope_is_a_config_with_the_same_columns(scope: Any) -> None:
    config = small_config(("features.2.required", True))
    scoped = Config.from_json(scope(config).to_json())
    assert scoped.columns == config.columns
    assert scoped.name == "small"


def test_what_trains_and_transforms_is_kept() -> None:
    config = small_config(("model.embedding_dim", 8), ("training.seed", 5))
    trained = scopes.for_trainer(config)
    assert (trained.spec, trained.model, trained.training) == (config.spec, config.model, config.training)
    assert scopes.for_transform(config).spec == config.spec


def test_the_tuner_sees_what_the_trainer_sees_and_what_is_tuned() -> None:
    tuning = ("tuning", {"ranges": {"model.dropout": {"min": 0, "max": 0.5}}})
    config, without = small_config(("model.embedding_dim", 8), tuning), small_config(("model.embedding_dim", 8))
    assert scopes.for_tuner(config).tuning == config.tuning
    assert scopes.for_tuner(without) == scopes.for_trainer(config) == scopes.for_trainer(without)


def test_the_dry_run_sees_what_transform_does_and_its_own_settings() -> None:
    config = small_config(("infra_validation.num_requests", 5), ("model.embedding_dim", 8))
    scoped = scopes.for_infra_validation(config)
    assert scoped.infra_validation == config.infra_validation
    assert dataclasses.replace(scoped, infra_validation=InfraValidation()) == scopes.for_transform(config)
