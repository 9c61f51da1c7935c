"""The artifacts that a run builds on, resolved from a real ML Metadata store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tfx.types import standard_artifacts

from components.artifact_types import VocabularyMemory
from components.model_store.manifest import Manifest
from components.model_store.retention import remove_old
from components.model_store.rollback import roll_back
from components.model_store.versions import add_version
from components.resolvers import (
    EarlierMemory,
    LastPushedModel,
    LatestPrecedingArtifact,
    ServingModel,
    ValidatedModel,
)
from tests.components.mlmd_lineage import Lineage


def latest_cache(lineage: Lineage, current: Any, caches: list[Any]) -> list[int]:
    resolved = LatestPrecedingArtifact().resolve_artifacts(lineage.store, {"examples": [current], "candidates": caches})
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


def test_memory_is_of_the_last_span_before_whenever_that_was_run(lineage: Lineage) -> None:
    def earlier_memory(current: Any) -> list[int]:
        inputs = {"examples": [current], "candidates": memories}
        return [a.id for a in EarlierMemory().resolve_artifacts(lineage.store, inputs)["candidates"]]

    one, two, four = (lineage.examples(span) for span in (1, 2, 4))
    memories = [lineage.put(VocabularyMemory, *spans) for spans in ((one, two), (two, four), (one,))]
    assert earlier_memory(one) == []
    assert earlier_memory(two) == [memories[2].id]
    assert earlier_memory(lineage.examples(4)) == [memories[0].id]  # span 1 was run again after spans 2 and 4
    assert earlier_memory(lineage.examples(7)) == [memories[1].id]


def test_an_artifact_without_examples_behind_it_is_excluded(lineage: Lineage) -> None:
    orphan = lineage.put(standard_artifacts.TransformCache)
    assert latest_cache(lineage, lineage.examples(2), [orphan]) == []


def test_what_was_taken_from_the_cache_is_still_of_its_first_run(lineage: Lineage) -> None:
    one, two = lineage.examples(1), lineage.examples(2)
    cache = lineage.put(standard_artifacts.TransformCache, one)
    lineage.execute((two,), cache.id)
    assert latest_cache(lineage, two, [cache]) == [cache.id]


class Serving:
    """A serving folder, and the models that the resolvers return for it."""

    def __init__(self, lineage: Lineage, root: str):
        self._lineage, self.root = lineage, root

    def push(self, model: Any) -> int:
        return add_version(self.root, lambda folder: None, Manifest(model_uri=model.uri))

    def base(self, current: Any, models: list[Any]) -> list[int]:
        """Returns the id of the model that training on `current` starts from."""
        resolved = LastPushedModel(self.root).resolve_artifacts(
            self._lineage.store, {"examples": [current], "model": models}
        )
        assert resolved["examples"] == []
        return [artifact.id for artifact in resolved["model"]]

    def baseline(self, candidate: Any, models: list[Any]) -> list[int]:
        """Returns the id of the baseline that a candidate model is compared with."""
        resolved = ServingModel(self.root).resolve_artifacts(
            self._lineage.store, {"candidate": [candidate], "model": models}
        )
        assert resolved["candidate"] == []
        return [artifact.id for artifact in resolved["model"]]


@pytest.fixture
def serving(lineage: Lineage, tmp_path: Path) -> Serving:
    return Serving(lineage, str(tmp_path / "serving"))


def test_training_starts_from_the_last_that_was_really_pushed(lineage: Lineage, serving: Serving) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 3)]
    models = [lineage.model(span) for span in spans]
    four = lineage.examples(4)
    assert serving.base(four, models) == []
    serving.push(models[0])  # the second is refused
    assert serving.base(four, models) == [models[0].id]
    serving.push(models[2])
    assert serving.base(four, models) == [models[2].id]
    assert serving.base(spans[2], models) == [models[0].id]
    assert serving.base(spans[0], models) == []


def test_a_span_that_was_ingested_again_builds_on_the_model_of_its_first_rows(
    lineage: Lineage, serving: Serving
) -> None:
    first = lineage.examples(1)
    model = lineage.model(first)
    serving.push(model)
    again = lineage.examples(1)
    assert serving.base(again, [model]) == [model.id]
    assert serving.base(first, [model]) == []


def test_a_model_of_the_same_rows_with_other_features_is_no_base(lineage: Lineage, serving: Serving) -> None:
    one = lineage.examples(1, rows="files of day 1")
    before, trained = lineage.model(one), lineage.model(lineage.examples(2, rows="files of day 2"), one)
    serving.push(before)
    serving.push(trained)
    with_another_column = lineage.examples(2, rows="files of day 2")
    assert serving.base(with_another_column, [before, trained]) == [before.id]
    assert serving.base(lineage.examples(3), [before, trained]) == [trained.id]


def test_a_model_that_may_have_trained_on_what_another_split_evaluates_on_is_no_base(
    lineage: Lineage, serving: Serving
) -> None:
    model = lineage.model(lineage.examples(0, rows="files", split_rule="by request"))
    serving.push(model)
    more = lineage.examples(0, rows="files, and one more", split_rule="by request")
    assert serving.base(more, [model]) == [model.id]
    split_anew = lineage.examples(0, rows="files, and one more", split_rule="by time")
    assert serving.base(split_anew, [model]) == []
    assert serving.base(lineage.examples(1, split_rule="by time"), [model]) == [model.id]  # no rows of that span


def test_a_model_whose_window_has_a_later_span_is_no_base(lineage: Lineage, serving: Serving) -> None:
    one, two, three = (lineage.examples(span) for span in (1, 2, 3))
    old, new = lineage.model(one), lineage.model(three, one)
    serving.push(old)
    serving.push(new)
    assert serving.base(two, [old, new]) == [old.id]


def test_a_candidate_is_held_against_what_serves(lineage: Lineage, serving: Serving) -> None:
    examples = lineage.examples(1)
    first = lineage.model(examples)
    assert serving.baseline(first, [first]) == []
    serving.push(first)
    # Trained on the same examples with other settings: still compared with the first.
    second, third = lineage.model(examples), lineage.model(examples)
    models = [first, second, third]
    assert serving.baseline(second, models) == [first.id]
    serving.push(third)
    assert serving.baseline(second, models) == [third.id]  # never a model that no longer serves


def test_a_candidate_that_was_pushed_has_the_baseline_that_it_had(lineage: Lineage, serving: Serving) -> None:
    models = [lineage.model(lineage.examples(span)) for span in (1, 2, 3)]
    for model in models:
        serving.push(model)
    assert [serving.baseline(model, models) for model in models] == [[], [models[0].id], [models[1].id]]
    roll_back(serving.root, "a test", to=1)  # pushes the first model once more
    assert [serving.baseline(model, models) for model in models] == [[], [models[0].id], [models[1].id]]


def test_a_version_that_was_put_there_by_hand_is_nobody_s_baseline(
    lineage: Lineage, serving: Serving, tmp_path: Path
) -> None:
    model, candidate = (lineage.model(lineage.examples(span)) for span in (1, 2))
    serving.push(model)
    (tmp_path / "serving" / "7").mkdir()
    assert serving.baseline(candidate, [model, candidate]) == [model.id]


def test_a_push_that_ml_metadata_never_heard_of_counts(lineage: Lineage, serving: Serving) -> None:
    """As after a run that was killed right after the push's rename: only the serving folder has the version."""
    one, two, three = (lineage.examples(span) for span in (1, 2, 3))
    models = [lineage.model(one), lineage.model(two)]
    lineage.put(standard_artifacts.PushedModel, models[0], one, pushed=1, model_id=models[0].id, version=1)
    for model in models:
        serving.push(model)
    candidate = lineage.model(three)
    assert serving.base(three, models) == [models[1].id]
    assert serving.baseline(candidate, [*models, candidate]) == [models[1].id]
    # The killed run, restarted, resolves the same inputs.
    assert serving.base(two, models) == [models[0].id]
    assert serving.baseline(models[1], models) == [models[0].id]


def test_after_a_rollback_the_restored_model_is_base_and_baseline(lineage: Lineage, serving: Serving) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 3)]
    models = [lineage.model(span) for span in spans[:2]]
    for model in models:
        serving.push(model)
    candidate = lineage.model(spans[2])
    assert serving.base(spans[2], models) == [models[1].id]
    roll_back(serving.root, "the second is bad")
    assert serving.base(spans[2], models) == [models[0].id]
    assert serving.baseline(candidate, [*models, candidate]) == [models[0].id]


def test_removed_versions_still_tell_what_an_old_run_was_built_on(lineage: Lineage, serving: Serving) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 3, 4)]
    models = [lineage.model(span) for span in spans]
    for model in models:
        serving.push(model)
    assert remove_old(serving.root, keep=1) == [1, 2, 3]
    assert [serving.base(span, models) for span in spans] == [[], *([m.id] for m in models[:3])]
    assert [serving.baseline(model, models) for model in models] == [[], *([m.id] for m in models[:3])]


@pytest.mark.parametrize("blessed", [0, 1])
def test_a_model_is_evaluated_only_if_infra_validation_blessed_it(lineage: Lineage, blessed: int) -> None:
    model = lineage.model(lineage.examples(1))
    blessing = lineage.put(standard_artifacts.InfraBlessing, model, blessed=blessed)
    resolved = ValidatedModel().resolve_artifacts(lineage.store, {"model": [model], "blessing": [blessing]})
    assert resolved == {"model": [model] if blessed else [], "blessing": []}
