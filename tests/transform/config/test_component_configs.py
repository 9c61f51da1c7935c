"""A change of the config reaches only the components that it concerns; the others' caches stay valid."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from tests.transform.small_config import REMOVED, small_config
from transform.config import component_configs as scopes
from transform.config.component_settings import DataSettings, IngestionSettings
from transform.config.config import Config

TUNED = small_config(("tuning", {"ranges": {"model.dropout": {"min": 0, "max": 0.5}}}), ("features.2.required", True))

SCOPES: dict[str, Callable[[Config], DataSettings]] = {
    "ingestion": scopes.for_ingestion,
    "data_validation": scopes.for_data_validation,
    "transform": scopes.for_transform,
    "tuner": scopes.for_tuner,
    "trainer": scopes.for_trainer,
    "infra_validation": scopes.for_infra_validation,
    "quality_gate": scopes.for_quality_gate,
}

#: The sections of each, beside the sources and the features.
SECTIONS: dict[str, set[str]] = {
    "ingestion": {"ingestion"},
    "data_validation": {"evaluation"},
    "transform": set(),
    "tuner": {"model", "training", "tuning"},
    "trainer": {"model", "training", "skew"},
    "infra_validation": {"infra_validation"},
    "quality_gate": {"evaluation", "quality"},
}
ALL_SECTIONS = {field.name for field in dataclasses.fields(Config)} - {"sources", "spec"}


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        (("training.batch_size", 64), {"trainer"}),
        (("training.deep_optimizer", {"name": "adagrad"}), {"trainer"}),
        (("model.embedding_dim", 8), {"trainer"}),
        (("model.parts", "wide"), {"trainer"}),
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
        (("ingestion.eval_fraction", 0.5), {"ingestion"}),
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
    learners = ("ingestion", "data_validation", "transform", "trainer")
    changed = {name for name in learners if SCOPES[name](before).to_json() != SCOPES[name](after).to_json()}
    assert changed == concerned


@pytest.mark.parametrize("component", SCOPES)
def test_a_component_has_its_sections_and_no_other(component: str) -> None:
    scoped = SCOPES[component](TUNED)
    assert {field.name for field in dataclasses.fields(scoped)} == {"sources", "spec", *SECTIONS[component]}
    assert scoped == type(scoped).from_json(scoped.to_json())
    assert scoped.columns == TUNED.columns
    assert not any(hasattr(scoped, name) for name in ALL_SECTIONS - SECTIONS[component])


def test_what_has_another_section_is_no_component_s() -> None:
    """Such as a whole config, on which a component's cached result would depend."""
    with pytest.raises(ValidationError, match="evaluation\n  Unexpected keyword argument"):
        IngestionSettings.from_json(TUNED.to_json())


def test_what_trains_and_transforms_is_kept() -> None:
    trained, tuner = scopes.for_trainer(TUNED), scopes.for_tuner(TUNED)
    assert (trained.spec, trained.model, trained.training) == (TUNED.spec, TUNED.model, TUNED.training)
    assert (tuner.spec, tuner.model, tuner.training) == (TUNED.spec, TUNED.model, TUNED.training)
    assert scopes.for_transform(TUNED).spec == scopes.for_infra_validation(TUNED).spec == TUNED.spec


@pytest.mark.parametrize(
    ("change", "is_other"),
    [
        (("ingestion.eval_fraction", 0.5), True),
        (("model.embedding_dim", 8), True),
        (("features.2.num_quantiles", 8), True),
        (("ingestion.max_rejected_fraction", 0.5), False),
        (("ingestion.window_spans", 5), False),
        (("evaluation.thresholds.auc.min", 0.9), False),
    ],
    ids=str,
)
def test_a_recipe_is_of_what_determines_a_model(change: tuple[str, Any], is_other: bool) -> None:
    assert (scopes.recipe(small_config(change)) != scopes.recipe(small_config())) == is_other
