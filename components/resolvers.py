"""Which earlier artifacts a run builds on: the window of spans, the analyzer cache, the last pushed model.

All of them answer by lineage, not by "the latest": what was made from the run's own examples, or from a later span,
is not taken. So a run that was killed and started again finds the inputs that it had, its finished components are
taken from the cache, and a backfilled day builds on the day before it.
"""

from __future__ import annotations

from collections.abc import Callable

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.components.common import resolver

from components.artifacts import RECIPE, UNFIT

Artifacts = dict[str, list[types.Artifact]]


def _span(artifact: types.Artifact) -> int:
    return int(artifact.get_int_custom_property("span"))


class SpanWindow(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `examples` to the run's span and, newest first, up to `num_spans` - 1 spans right before it.

    Of a span that was ingested more than once the last ingestion counts, and only one by the run's own recipe; where
    that one's rows were found unfit, the span is left out.

    Inputs: `examples`, the run's own; `history`, all Examples of the pipeline.
    """

    def __init__(self, num_spans: int):
        self._num_spans = num_spans

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        recipe = current.get_string_custom_property(RECIPE)
        newest: dict[int, types.Artifact] = {}
        for artifact in sorted(input_dict["history"], key=_last_ingestion(store, input_dict["history"])):
            # Transform's output is of the type Examples too, and has neither span nor recipe.
            alike = artifact.has_custom_property("span") and artifact.get_string_custom_property(RECIPE) == recipe
            if alike and _span(current) - self._num_spans < _span(artifact) < _span(current):
                newest[_span(artifact)] = artifact
        earlier = [newest[span] for span in sorted(newest, reverse=True)]
        return {"examples": [current, *(a for a in earlier if not a.get_string_custom_property(UNFIT))], "history": []}


def _last_ingestion(store: mlmd.MetadataStore, examples: list[types.Artifact]) -> Callable[[types.Artifact], int]:
    """A key by which Examples are ordered in time: the last execution that gave them out, from the cache or not."""
    output = metadata_store_pb2.Event.OUTPUT
    events = [e for e in store.get_events_by_artifact_ids([a.id for a in examples]) if e.type == output]
    last = {e.artifact_id: e.execution_id for e in sorted(events, key=lambda e: e.execution_id)}
    return lambda artifact: last.get(artifact.id, 0)


class LatestBefore(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `candidates` to the latest one that was made from earlier examples than the run's; else to none.

    Inputs: `examples`, the run's own; `candidates`, artifacts whose producer read Examples.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        found = latest_before(store, current, input_dict["candidates"], key=lambda a: a.id)
        return {"examples": [], "candidates": [found] if found else []}


class LastPushedModel(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `model` to the one that was pushed last, from earlier examples than the run's; else to none.

    It is what training starts from. Blessed is not pushed: a model that passed evaluation but was stopped later
    never served.
    Inputs: `examples`, the run's own; `model` and `pushed_model`, all of the pipeline.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        pushed = latest_before(store, current, _really_pushed(input_dict["pushed_model"]), key=_version)
        model_id = _model_id(pushed) if pushed else None
        return {"examples": [], "pushed_model": [], "model": [m for m in input_dict["model"] if m.id == model_id]}


class ServingModel(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `model` to the one that served when the candidate was made; on a first run to none.

    It is what evaluation holds the candidate against, whatever it was trained on: a second training on the same
    examples must not push a worse model.
    Inputs: `candidate`, the run's own model; `model` and `pushed_model`, all of the pipeline.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (candidate,) = input_dict["candidate"]
        # A candidate from the cache may have been pushed since, and others after it.
        earlier = [a for a in _really_pushed(input_dict["pushed_model"]) if a.id < candidate.id]
        model_id = _model_id(max(earlier, key=_version)) if earlier else None
        return {"candidate": [], "pushed_model": [], "model": [m for m in input_dict["model"] if m.id == model_id]}


def _really_pushed(pushed_models: list[types.Artifact]) -> list[types.Artifact]:
    """Push leaves an artifact for a model that it refused, too."""
    return [a for a in pushed_models if a.get_int_custom_property("pushed") == 1]


def _version(pushed_model: types.Artifact) -> int:
    """By which pushes are ordered: one that was done again has a new artifact for its old version."""
    return int(pushed_model.get_int_custom_property("version"))


def _model_id(pushed_model: types.Artifact) -> int:
    return int(pushed_model.get_int_custom_property("model_id"))


def latest_before(
    store: mlmd.MetadataStore,
    current: types.Artifact,
    candidates: list[types.Artifact],
    key: Callable[[types.Artifact], int],
) -> types.Artifact | None:
    """The latest candidate by `key` whose producer read neither `current` nor Examples of a later span."""
    for candidate in sorted(candidates, key=key, reverse=True):
        sources = _examples_read_by_producer(store, candidate.id)
        if sources and all(id_ != current.id and span <= _span(current) for id_, span in sources):
            return candidate
    return None


def _examples_read_by_producer(store: mlmd.MetadataStore, artifact_id: int) -> list[tuple[int, int]]:
    """Id and span of every Examples artifact that the execution which made an artifact took as input."""
    output, inputs = metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INPUT
    producers = {e.execution_id for e in store.get_events_by_artifact_ids([artifact_id]) if e.type == output}
    if not producers:
        return []
    first = min(producers)  # later ones only took it from the cache
    read = [e.artifact_id for e in store.get_events_by_execution_ids([first]) if e.type == inputs]
    return [
        (a.id, a.custom_properties["span"].int_value)
        for a in store.get_artifacts_by_id(read)
        if a.type == "Examples" and "span" in a.custom_properties
    ]
