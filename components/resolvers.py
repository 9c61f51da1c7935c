"""Which earlier artifacts a run builds on: the window of spans, the analyzer cache, the last pushed model.

All of them answer by lineage, not by "the latest": what was made from the run's own examples, or from a later span,
is not taken. So a run that was killed and started again finds the inputs that it had, its finished components are
taken from the cache, and a backfilled day builds on the day before it.
"""

from __future__ import annotations

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.components.common import resolver

from components.artifacts import UNFIT

Artifacts = dict[str, list[types.Artifact]]


def _span(artifact: types.Artifact) -> int:
    return int(artifact.get_int_custom_property("span"))


class SpanWindow(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `examples` to the run's span and, newest first, up to `num_spans` - 1 spans right before it.

    A span whose rows were found unfit is left out.

    Inputs: `examples`, the run's own; `history`, all Examples of the pipeline.
    """

    def __init__(self, num_spans: int):
        self._num_spans = num_spans

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        newest: dict[int, types.Artifact] = {}
        for artifact in sorted(input_dict["history"], key=lambda a: a.id):
            # Transform's output is of the type Examples too, and has no span.
            fit = artifact.has_custom_property("span") and not artifact.get_string_custom_property(UNFIT)
            if fit and _span(current) - self._num_spans < _span(artifact) < _span(current):
                newest[_span(artifact)] = artifact
        window = [current, *(newest[span] for span in sorted(newest, reverse=True))]
        return {"examples": window, "history": []}


class LatestBefore(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `candidates` to the latest one that was made from earlier examples than the run's; else to none.

    Inputs: `examples`, the run's own; `candidates`, artifacts whose producer read Examples.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        found = latest_before(store, current, input_dict["candidates"])
        return {"examples": [], "candidates": [found] if found else []}


class LastPushedModel(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `model` to the one that was pushed last, from earlier examples than the run's; else to none.

    It is what training starts from. Blessed is not pushed: a model that passed evaluation but was stopped later
    never served.
    Inputs: `examples`, the run's own; `model` and `pushed_model`, all of the pipeline.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        pushed = latest_before(store, current, _really_pushed(input_dict["pushed_model"]))
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
        earlier = [a for a in _really_pushed(input_dict["pushed_model"]) if _model_id(a) < candidate.id]
        model_id = _model_id(max(earlier, key=lambda a: a.id)) if earlier else None
        return {"candidate": [], "pushed_model": [], "model": [m for m in input_dict["model"] if m.id == model_id]}


def _really_pushed(pushed_models: list[types.Artifact]) -> list[types.Artifact]:
    """Push leaves an artifact for a model that it refused, too."""
    return [a for a in pushed_models if a.get_int_custom_property("pushed") == 1]


def _model_id(pushed_model: types.Artifact) -> int:
    return int(pushed_model.get_int_custom_property("model_id"))


def latest_before(
    store: mlmd.MetadataStore, current: types.Artifact, candidates: list[types.Artifact]
) -> types.Artifact | None:
    """The latest candidate whose producer read neither `current` nor Examples of a later span."""
    for candidate in sorted(candidates, key=lambda a: a.id, reverse=True):
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
