"""Which models progressive validation evaluates on a span that they were not trained on."""

from __future__ import annotations

import json
from typing import Any

from tfx.types import standard_artifacts

from components.evaluation.progressive import PreviousModels
from components.lineage import producer
from tests.components.mlmd_lineage import Lineage
from transform.preprocessing import CONFIG_KEY


def model_of(lineage: Lineage, *read: Any, base: Any = None) -> Any:
    """Adds a model that was trained on transformed Examples, starting from another model if `base` is given."""
    transformed = lineage.put(standard_artifacts.Examples, *read)
    return lineage.put(standard_artifacts.Model, transformed, *([base] if base else []))


def resolve(lineage: Lineage, current: Any, *models: Any, broken: tuple[Any, ...] = ()) -> tuple[list[int], list[int]]:
    blessings = [
        lineage.put(standard_artifacts.InfraBlessing, m, model_id=m.id, blessed=int(m not in broken)) for m in models
    ]
    inputs = {"examples": [current], "model": list(models), "baseline": list(models), "blessing": blessings}
    resolved = PreviousModels(["app"]).resolve_artifacts(lineage.store, inputs)
    assert resolved["examples"] == []
    return [m.id for m in resolved["model"]], [m.id for m in resolved["baseline"]]


def test_the_last_model_is_measured_beside_the_one_it_started_from(lineage: Lineage) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 3)]
    first = model_of(lineage, spans[0])
    refused = model_of(lineage, spans[1], base=first)
    assert resolve(lineage, spans[2], first, refused) == ([refused.id], [first.id])
    assert resolve(lineage, spans[1], first, refused) == ([first.id], [])
    assert resolve(lineage, spans[0], first, refused) == ([], [])


def test_a_backfill_s_models_of_older_spans_are_passed_over(lineage: Lineage) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 3)]
    served = model_of(lineage, spans[1])
    backfilled = model_of(lineage, spans[0])
    assert resolve(lineage, spans[2], served, backfilled) == ([served.id], [])
    again = model_of(lineage, spans[1])
    assert resolve(lineage, spans[2], served, backfilled, again) == ([again.id], [])


def test_a_model_that_has_seen_the_span_in_its_window_or_in_another_ingestion_is_left_out(lineage: Lineage) -> None:
    one, two, again = lineage.examples(1), lineage.examples(2), lineage.examples(2)
    first = model_of(lineage, one)
    of_both = model_of(lineage, two, one, base=first)
    assert resolve(lineage, again, first, of_both) == ([first.id], [])


def test_a_model_that_infra_validation_did_not_bless_is_not_run(lineage: Lineage) -> None:
    one, two, three = (lineage.examples(span) for span in (1, 2, 3))
    first = model_of(lineage, one)
    hangs = model_of(lineage, two, base=first)
    assert resolve(lineage, three, first, hangs, broken=(hangs,)) == ([first.id], [])
    killed_before_its_validation = {"examples": [three], "model": [first], "baseline": [first], "blessing": []}
    assert PreviousModels(["app"]).resolve_artifacts(lineage.store, killed_before_its_validation)["model"] == []


def trained_with(lineage: Lineage, model: Any, *features: str) -> None:
    """Records a model's features, as the Trainer's execution does."""
    (execution,) = lineage.store.get_executions_by_id([producer(lineage.store, model.id)])
    config = json.dumps({"spec": {"features": [{"name": name} for name in features]}})
    execution.custom_properties["custom_config"].string_value = json.dumps({CONFIG_KEY: config})
    lineage.store.put_executions([execution])


def test_a_model_that_reads_a_feature_which_the_span_lacks_is_not_measured(lineage: Lineage) -> None:
    """The feature would be missing in every row: the AUC would be of a model that nobody serves."""
    one, two, three = (lineage.examples(span) for span in (1, 2, 3))
    first = model_of(lineage, one)
    trained_with(lineage, first, "app", "price")
    second = model_of(lineage, two, base=first)
    trained_with(lineage, second, "app")
    assert resolve(lineage, three, first, second) == ([second.id], [])
    assert resolve(lineage, two, first) == ([], [])
