"""What a run builds on, asked of a real ML Metadata store."""

from __future__ import annotations

from typing import Any

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.types import artifact_utils, standard_artifacts

from components.artifacts import RECIPE, UNFIT
from components.resolvers import LastPushedModel, LatestBefore, ServingModel, SpanWindow


class Lineage:
    """Writes artifacts and the executions that made them."""

    def __init__(self) -> None:
        connection = metadata_store_pb2.ConnectionConfig()
        connection.fake_database.SetInParent()  # SQLite in memory
        self.store = mlmd.MetadataStore(connection)

    def put(self, kind: type[types.Artifact], *read: types.Artifact, **properties: int | str) -> Any:
        """An artifact that an execution made from others."""
        artifact: Any = kind()
        for name, value in properties.items():
            if isinstance(value, int):
                artifact.set_int_custom_property(name, value)
            else:
                artifact.set_string_custom_property(name, value)
        type_id = self.store.put_artifact_type(artifact.artifact_type)
        proto = artifact.mlmd_artifact
        proto.type_id = type_id
        (id_,) = self.store.put_artifacts([proto])
        self.execute(read, id_)
        (stored,) = self.store.get_artifacts_by_id([id_])
        return artifact_utils.deserialize_artifact(self.store.get_artifact_types_by_id([type_id])[0], stored)

    def execute(self, read: tuple[types.Artifact, ...], output_id: int) -> None:
        """An execution that read artifacts and gave out one (made it, or took it from the cache)."""
        type_id = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name="Component"))
        (execution_id,) = self.store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
        event = metadata_store_pb2.Event
        inputs = [event(artifact_id=a.id, execution_id=execution_id, type=event.INPUT) for a in read]
        self.store.put_events([*inputs, event(artifact_id=output_id, execution_id=execution_id, type=event.OUTPUT)])

    def examples(self, span: int, unfit: str = "") -> Any:
        return self.put(standard_artifacts.Examples, span=span, **{UNFIT: unfit})


@pytest.fixture
def lineage() -> Lineage:
    return Lineage()


def window(lineage: Lineage, num_spans: int, current: Any, history: list[Any]) -> list[int]:
    resolved = SpanWindow(num_spans).resolve_artifacts(lineage.store, {"examples": [current], "history": history})
    assert resolved["history"] == []
    return [artifact.id for artifact in resolved["examples"]]


def test_the_window_is_the_run_s_span_and_those_before_it_newest_first(lineage: Lineage) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 3, 4, 5)]
    id_ = {a.get_int_custom_property("span"): a.id for a in spans}
    assert window(lineage, 1, spans[3], spans) == [id_[4]]
    assert window(lineage, 3, spans[3], spans) == [id_[4], id_[3], id_[2]]
    assert window(lineage, 9, spans[3], spans) == [id_[4], id_[3], id_[2], id_[1]]
    assert window(lineage, 3, spans[0], spans) == [id_[1]]


def test_a_gap_in_the_window_is_not_filled_from_before_it(lineage: Lineage) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 5)]
    assert window(lineage, 3, spans[2], spans) == [spans[2].id]
    assert window(lineage, 4, spans[2], spans) == [spans[2].id, spans[1].id]


def test_of_a_span_that_was_ingested_twice_the_later_is_taken(lineage: Lineage) -> None:
    first, second, current = lineage.examples(1), lineage.examples(1), lineage.examples(2)
    assert window(lineage, 2, current, [second, current, first]) == [current.id, second.id]


def test_the_run_s_own_examples_are_taken_though_its_span_was_ingested_again(lineage: Lineage) -> None:
    current, again = lineage.examples(1), lineage.examples(1)
    assert window(lineage, 2, current, [current, again]) == [current.id]


def test_a_span_whose_last_ingestion_is_unfit_is_left_out_though_an_earlier_one_was_fit(lineage: Lineage) -> None:
    fit, unfit, current = lineage.examples(1), lineage.examples(1, unfit="too many rejected"), lineage.examples(2)
    assert window(lineage, 2, current, [fit, unfit, current]) == [current.id]


def test_the_last_ingestion_may_have_come_from_the_cache(lineage: Lineage) -> None:
    first, second, current = lineage.examples(1), lineage.examples(1), lineage.examples(2)
    lineage.execute((), first.id)  # the files were put back as they had been
    assert window(lineage, 2, current, [first, second, current]) == [current.id, first.id]


def test_examples_of_another_recipe_are_left_out(lineage: Lineage) -> None:
    other = lineage.put(standard_artifacts.Examples, span=1, **{UNFIT: "", RECIPE: "another split"})
    alike = lineage.put(standard_artifacts.Examples, span=2, **{UNFIT: "", RECIPE: "this one"})
    current = lineage.put(standard_artifacts.Examples, span=3, **{UNFIT: "", RECIPE: "this one"})
    assert window(lineage, 3, current, [other, alike, current]) == [current.id, alike.id]


def test_an_unfit_span_is_left_out(lineage: Lineage) -> None:
    spans = [lineage.examples(1), lineage.examples(2, unfit="too many rejected"), lineage.examples(3)]
    assert window(lineage, 3, spans[2], spans) == [spans[2].id, spans[0].id]


def test_examples_without_a_span_are_not_span_0(lineage: Lineage) -> None:
    # Transform's output is of the type Examples too.
    zero = lineage.examples(0)
    transformed = lineage.put(standard_artifacts.Examples, zero)
    current = lineage.examples(1)
    assert window(lineage, 2, current, [zero, transformed, current]) == [current.id, zero.id]


def latest_cache(lineage: Lineage, current: Any, caches: list[Any]) -> list[int]:
    resolved = LatestBefore().resolve_artifacts(lineage.store, {"examples": [current], "candidates": caches})
    assert resolved["examples"] == []
    return [artifact.id for artifact in resolved["candidates"]]


def test_the_latest_before_excludes_the_run_s_own_and_later_spans(lineage: Lineage) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 3)]
    caches = [lineage.put(standard_artifacts.TransformCache, span) for span in spans]
    assert latest_cache(lineage, spans[1], caches) == [caches[0].id]
    assert latest_cache(lineage, spans[2], caches) == [caches[1].id]
    assert latest_cache(lineage, spans[0], caches) == []
    assert latest_cache(lineage, lineage.examples(4), caches) == [caches[2].id]


def test_a_cache_that_any_later_span_went_into_is_excluded(lineage: Lineage) -> None:
    one, two, three = (lineage.examples(span) for span in (1, 2, 3))
    from_one = lineage.put(standard_artifacts.TransformCache, one)
    from_both = lineage.put(standard_artifacts.TransformCache, three, one)
    assert latest_cache(lineage, two, [from_one, from_both]) == [from_one.id]


def test_an_artifact_without_examples_behind_it_is_excluded(lineage: Lineage) -> None:
    orphan = lineage.put(standard_artifacts.TransformCache)
    assert latest_cache(lineage, lineage.examples(2), [orphan]) == []


def test_what_was_taken_from_the_cache_is_still_of_its_first_run(lineage: Lineage) -> None:
    one, two = lineage.examples(1), lineage.examples(2)
    cache = lineage.put(standard_artifacts.TransformCache, one)
    lineage.execute((two,), cache.id)
    assert latest_cache(lineage, two, [cache]) == [cache.id]


def pushed_model(lineage: Lineage, current: Any, models: list[Any], pushes: list[Any]) -> list[int]:
    resolved = LastPushedModel().resolve_artifacts(
        lineage.store, {"examples": [current], "model": models, "pushed_model": pushes}
    )
    assert resolved["examples"] == resolved["pushed_model"] == []
    return [artifact.id for artifact in resolved["model"]]


def test_the_last_pushed_model_is_the_last_that_was_really_pushed(lineage: Lineage) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 3)]
    models = [lineage.put(standard_artifacts.Model, span) for span in spans]
    pushes = [
        lineage.put(standard_artifacts.PushedModel, model, span, pushed=pushed, model_id=model.id, version=version)
        for span, model, pushed, version in zip(spans, models, (1, 0, 1), (1, 0, 2), strict=True)
    ]
    four = lineage.examples(4)
    assert pushed_model(lineage, four, models, pushes) == [models[2].id]
    assert pushed_model(lineage, four, models, pushes[:2]) == [models[0].id]
    assert pushed_model(lineage, spans[2], models, pushes) == [models[0].id]  # the second was not pushed
    assert pushed_model(lineage, spans[0], models, pushes) == []
    assert pushed_model(lineage, four, [], []) == []


def test_a_span_that_was_ingested_again_builds_on_the_model_of_its_first_rows(lineage: Lineage) -> None:
    first = lineage.examples(1)
    model = lineage.put(standard_artifacts.Model, first)
    push = lineage.put(standard_artifacts.PushedModel, model, first, pushed=1, model_id=model.id, version=1)
    again = lineage.examples(1)
    assert pushed_model(lineage, again, [model], [push]) == [model.id]
    assert pushed_model(lineage, first, [model], [push]) == []


def serving_model(lineage: Lineage, candidate: Any, models: list[Any], pushes: list[Any]) -> list[int]:
    resolved = ServingModel().resolve_artifacts(
        lineage.store, {"candidate": [candidate], "model": models, "pushed_model": pushes}
    )
    assert resolved["candidate"] == resolved["pushed_model"] == []
    return [artifact.id for artifact in resolved["model"]]


def test_a_candidate_is_held_against_what_served_when_it_was_made(lineage: Lineage) -> None:
    examples = lineage.examples(1)
    first = lineage.put(standard_artifacts.Model, examples)
    pushed_first = lineage.put(standard_artifacts.PushedModel, first, examples, pushed=1, model_id=first.id, version=1)
    # Trained on the very same examples with other settings: still held against the first.
    second = lineage.put(standard_artifacts.Model, examples)
    refused = lineage.put(standard_artifacts.PushedModel, second, examples, pushed=0, model_id=second.id)
    third = lineage.put(standard_artifacts.Model, examples)
    models = [first, second, third]
    assert serving_model(lineage, first, [first], []) == []
    assert serving_model(lineage, second, models[:2], [pushed_first]) == [first.id]
    assert serving_model(lineage, third, models, [pushed_first, refused]) == [first.id]
    # Taken from the cache after it was pushed, the first has the baseline that it had: none.
    assert serving_model(lineage, first, models, [pushed_first, refused]) == []


def test_a_push_that_was_done_again_does_not_make_an_old_model_the_last(lineage: Lineage) -> None:
    one, two, three = (lineage.examples(span) for span in (1, 2, 3))
    models = [lineage.put(standard_artifacts.Model, span) for span in (one, two)]
    pushes = [
        lineage.put(standard_artifacts.PushedModel, models[i], span, pushed=1, model_id=models[i].id, version=i + 1)
        for i, span in ((0, one), (1, two), (0, one))
    ]
    candidate = lineage.put(standard_artifacts.Model, three)
    assert pushed_model(lineage, three, models, pushes) == [models[1].id]
    assert serving_model(lineage, candidate, [*models, candidate], pushes) == [models[1].id]
