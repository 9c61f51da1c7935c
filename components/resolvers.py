"""Resolvers of a run's inputs: the window of spans, the analyzer cache, the pushed model and the baseline.

The resolvers follow lineage instead of taking the latest artifact: they ignore what was made from the run's own
examples or from a later span. The serving folder says what was pushed; for a model that is a version already, only the
versions before it count. So a run that was killed and restarted resolves the same inputs, its completed components are
taken from the cache, and a backfilled day builds on the day before it.
"""

from __future__ import annotations

from collections.abc import Callable

import ml_metadata as mlmd
from absl import logging
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.components.common import resolver

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.utils import path_utils

from components.artifact_types import Artifacts
from components.artifacts import COMPLETED_BY, RECIPE, SPLIT_RULE, TAIL_OF, UNFIT
from components.gate_records import EMPTY, GATE, SPAN
from components.lineage import (
    are_same_rows,
    examples_behind,
    find_last_span_before,
    ingested_examples,
    read_finding,
    select_same_rows,
    was_let_through,
    was_stopped,
)
from components.model_store.identity import is_same_model, version_before
from components.model_store.manifest import Manifest, find_anchor, list_versions
from components.model_store.served_models import import_version, known_model, place_of
from components.model_store.versions import history


def _span(artifact: types.Artifact) -> int:
    return int(artifact.get_int_custom_property("span"))


class PrecedingSpan(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `history` to the Examples of the span right before the run's, of the run's own recipe, or to none.

    Inputs: `examples`, the run's own; `history`, all Examples that the pipeline ingested.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        found = _newest_before(store, current, input_dict["history"], num_spans=1)
        return {"examples": [], "history": list(found.values())}


class SpanWindow(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `examples` to the run's span and, newest first, up to `num_spans` - 1 spans right before it.

    A component that reads them receives them from ML Metadata in the order of their ids.

    If a span was ingested several times, the last ingestion by the run's own recipe is used. The resolver leaves the
    span out if those rows were found unfit, or if a gate stopped a run on them and never let them through. A span that
    a person accepted is included.

    With late labels, the tails that these spans have completed follow. A tail whose own span is not to be learned from
    is left out.

    Inputs: `examples`, the run's own; `history`, all Examples that the pipeline ingested; `completed`, all completed
    tails, or no such input.
    """

    def __init__(self, num_spans: int, gates: list[str], row_gate: str = ""):
        """Sets the window's length and the gates that stop a run.

        Args:
          num_spans: The largest number of spans in the window.
          gates: The execution types of the gates that read Examples' statistics, anomalies or records.
          row_gate: The execution type of the gate that stops a run on rows that ingestion found unfit.
        """
        self._num_spans, self._gates, self._row_gate = num_spans, gates, row_gate

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        num_earlier = self._num_spans - 1 + ("completed" in input_dict)  # the first span's tail comes from before it
        newest = _newest_before(store, current, input_dict["history"], num_earlier)
        for span in sorted({_span(artifact) for artifact in input_dict["history"]} - newest.keys()):
            if _span(current) - num_earlier <= span < _span(current):
                logging.warning("span %d is left out: it was ingested by another config or other code only", span)
        window: list[types.Artifact] = [current]
        before: list[types.Artifact] = []
        ingested = ingested_examples(store, current.id) if newest else []
        for span in sorted(newest, reverse=True):
            in_window = span > _span(current) - self._num_spans
            if reason := self._reason_against(store, newest[span].mlmd_artifact, ingested):
                what = f"span {span} is left out of the window" if in_window else f"the tail of span {span} is left out"
                logging.warning("%s: %s", what, reason)
            else:
                (window if in_window else before).append(newest[span])
        completed = input_dict.get("completed", [])
        tails = _tails(completed, {a.id for a in window}, {a.id for a in (*window, *before)})
        return {name: [*window, *tails] if name == "examples" else [] for name in input_dict}

    def _reason_against(
        self,
        store: mlmd.MetadataStore,
        examples: metadata_store_pb2.Artifact,
        ingested: list[metadata_store_pb2.Artifact],
    ) -> str:
        """Returns why a span must not be learned from; empty if it may be."""
        reason = _finding(examples)
        same = select_same_rows(examples, ingested)
        # Also if what was accepted was another ingestion of the rows, such as before an upgrade, unfit for this reason.
        alike = [artifact.id for artifact in same if _finding(artifact) == reason]
        if reason and any(was_let_through(store, id_, self._row_gate) for id_ in alike):
            reason = ""
        if not reason and was_stopped(store, [artifact.id for artifact in same], self._gates):
            reason = "a gate on data stopped the run on its rows"
        return reason


def _finding(examples: metadata_store_pb2.Artifact) -> str:
    return read_finding(examples.custom_properties[UNFIT].string_value)


def _newest_before(
    store: mlmd.MetadataStore, current: types.Artifact, history: list[types.Artifact], num_spans: int
) -> dict[int, types.Artifact]:
    """Returns, of each of the spans right before the run's, the last ingestion by the run's own recipe."""
    recipe = current.get_string_custom_property(RECIPE)
    newest: dict[int, types.Artifact] = {}
    for artifact in sorted(history, key=_last_ingestion(store, history)):
        alike = artifact.get_string_custom_property(RECIPE) == recipe
        if alike and _span(current) - num_spans <= _span(artifact) < _span(current):
            newest[_span(artifact)] = artifact
    return newest


def _tails(completed: list[types.Artifact], window: set[int], fit: set[int]) -> list[types.Artifact]:
    """Returns the completed tails of fit Examples that Examples of the window have completed, one for each span.

    Args:
      completed: All completed tails.
      window: The ids of the window's Examples.
      fit: The ids of Examples that may be learned from.
    """
    found: dict[int, types.Artifact] = {}
    for tail in sorted(completed, key=lambda artifact: artifact.id):
        of, by = tail.get_int_custom_property(TAIL_OF), tail.get_int_custom_property(COMPLETED_BY)
        if of in fit and by in window and tail.get_int_custom_property("completed"):
            found[_span(tail)] = tail
    return [found[span] for span in sorted(found, reverse=True)]


def _last_ingestion(store: mlmd.MetadataStore, examples: list[types.Artifact]) -> Callable[[types.Artifact], int]:
    """Returns a sort key of Examples by time: the id of the last execution that output them, from the cache or not."""
    output = metadata_store_pb2.Event.OUTPUT
    events = [e for e in store.get_events_by_artifact_ids([a.id for a in examples]) if e.type == output]
    last = {e.artifact_id: e.execution_id for e in sorted(events, key=lambda e: e.execution_id)}
    return lambda artifact: last.get(artifact.id, 0)


class LatestPrecedingArtifact(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `candidates` to the latest one that was made from earlier examples than the run's, or to none.

    Inputs: `examples`, the run's own; `candidates`, artifacts that were made from Examples.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        newest_first = sorted(input_dict["candidates"], key=lambda a: a.id, reverse=True)
        found = next((a for a in newest_first if _is_before(current, examples_behind(store, a.id))), None)
        return {"examples": [], "candidates": [found] if found else []}


class EarlierMemory(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `candidates` to the vocabularies' memory of the last span before the run's, or to none.

    If a span was run several times, the last run's memory is used. So the memory of a span that is run again, or after
    a later span, covers only earlier spans.

    Inputs: `examples`, the run's own; `candidates`, VocabularyMemory.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        found = find_last_span_before(store, input_dict["candidates"], _span(current))
        return {"examples": [], "candidates": [found] if found else []}


class EarlierRecords(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `records` to a gate's records of the last spans before the run's, one per span.

    If a span has several records, as after a second ingestion, the newest is used. A span that a data gate stopped, and
    that nobody accepted, is left out, and so is a record without inputs. ML Metadata returns the records in the order
    of their ids: `read_records` sorts them by span.

    Inputs: `examples`, the run's own; `records`, GateRecords of any gate, made from Examples among others.
    """

    def __init__(self, gate: str, num_spans: int, gates: list[str]):
        """Selects the records.

        Args:
          gate: The gate's name in its records.
          num_spans: The largest number of spans.
          gates: The execution types of the gates that stop a run, and read Examples, statistics, anomalies or records.
        """
        self._gate, self._num_spans, self._gates = gate, num_spans, gates

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        newest: dict[int, types.Artifact] = {}
        for artifact in sorted(input_dict["records"], key=lambda a: a.id):
            span = artifact.get_int_custom_property(SPAN)
            is_own = artifact.get_string_custom_property(GATE) == self._gate
            if is_own and span < _span(current) and not artifact.get_int_custom_property(EMPTY):
                newest[span] = artifact
        found: list[types.Artifact] = []
        for span in sorted(newest, reverse=True):
            if len(found) == self._num_spans:
                break
            examples = [source.id for source in examples_behind(store, newest[span].id)]
            if not was_stopped(store, examples, self._gates):
                found.append(newest[span])
        return {"examples": [], "records": found}


class LastPushedModel(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `model` to the last pushed model that was trained on earlier examples than the run's, or to none.

    Training starts from this model. The resolver skips a model that was trained on the run's own rows, whatever
    features it read of them, and a model of the same span whose rows were split by another rule, since its training
    rows may be this run's evaluation rows.

    The serving folder's manifests say what was pushed: ML Metadata lacks a push whose process was killed right after
    its work was done. A rollback pushes the restored model again. A model that ML Metadata lacks is imported if its
    manifest names only spans before the run's.

    Inputs: `examples`, the run's own; `model`, all models of the pipeline.
    """

    def __init__(self, serving_root: str):
        self._serving_root = serving_root

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (current,) = input_dict["examples"]
        for version, manifest in sorted(history(self._serving_root).items(), reverse=True):
            newest = manifest.newest_span
            if newest is not None and newest > _span(current):
                continue  # skips reading its files
            model = known_model(input_dict["model"], manifest)
            sources = examples_behind(store, model.id) if model else []
            is_named_before = newest is not None and newest < _span(current)
            is_before = _is_before(current, sources) or (not sources and is_named_before)
            if is_before and (found := model or import_version(store, self._serving_root, version, manifest, current)):
                return {"examples": [], "model": [found]}
        return {"examples": [], "model": []}


class ServingModel(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `model` to the model that serves; on a first run to none.

    It is the baseline of the evaluation, whatever it was trained on: a second training on the same examples must not
    push a worse model. A candidate model that is a version already is compared with the version before it, as when it
    was pushed. A model that ML Metadata lacks is imported from the serving folder.

    Inputs: `candidate`, the run's own model; `model`, all models of the pipeline.
    """

    def __init__(self, serving_root: str):
        self._serving_root = serving_root

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (candidate,) = input_dict["candidate"]
        found = None
        if before := _before(self._serving_root, candidate):
            found = _known_or_imported(store, self._serving_root, before[0], input_dict["model"], candidate)
        return {"candidate": [], "model": [found] if found else []}


class AnchorModel(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `model` to the anchor that the serving folder's manifests name; on a first run to none.

    If neither ML Metadata nor the serving folder has the anchor's files any more, as after a rollback to a much older
    version, the model that serves replaces it. A candidate model that is a version already is compared with the anchor
    of the version before it. A model that ML Metadata lacks is imported from the serving folder.

    Inputs: `candidate`, the run's own model; `model`, all models of the pipeline.
    """

    def __init__(self, serving_root: str):
        self._serving_root = serving_root

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (candidate,) = input_dict["candidate"]
        before = _before(self._serving_root, candidate)
        if before is None:
            return {"candidate": [], "model": []}
        version, manifest = before
        manifests = history(self._serving_root)
        for place in (find_anchor({version: manifest}) or "", manifest.model_uri or ""):
            named = [v for v in list_versions(manifests, place) if v <= version]
            of_model = [v for v, m in manifests.items() if named and is_same_model(m, manifests[named[-1]])]
            if not of_model:  # its manifest is gone
                found = known_model(input_dict["model"], Manifest(model_uri=place))
            else:
                found = _known_or_imported(store, self._serving_root, of_model[-1], input_dict["model"], candidate)
            if found is not None:
                return {"candidate": [], "model": [found]}
        return {"candidate": [], "model": []}


class ValidatedModel(resolver.ResolverStrategy):  # type: ignore[misc]
    """Resolves `model` to the run's own if infra validation blessed it, or to none.

    Inputs: `model`, the run's own; `blessing`, its InfraBlessing.
    """

    def resolve_artifacts(self, store: mlmd.MetadataStore, input_dict: Artifacts) -> Artifacts:
        (blessing,) = input_dict["blessing"]
        is_blessed = blessing.get_int_custom_property("blessed") == 1
        return {"model": input_dict["model"] if is_blessed else [], "blessing": []}


def _before(root: str, candidate: types.Artifact) -> tuple[int, Manifest] | None:
    """Returns the version that served before a candidate model, and its manifest; None if none did."""
    return version_before(root, place_of(candidate), path_utils.serving_model_path(candidate.uri))


def _known_or_imported(
    store: mlmd.MetadataStore, root: str, version: int, models: list[types.Artifact], candidate: types.Artifact
) -> types.Artifact | None:
    """Returns a version's model from ML Metadata, or imports it; None if its files are gone.

    An imported model is put into the contexts of the candidate's pipeline.
    """
    manifest = history(root)[version]
    known = known_model(models, manifest)
    return known or import_version(store, root, version, manifest, candidate)


def _is_before(current: types.Artifact, sources: list[metadata_store_pb2.Artifact]) -> bool:
    """Returns whether an artifact has source Examples, none of them with the rows of `current` or of a later span."""
    return bool(sources) and all(
        source.custom_properties["span"].int_value <= _span(current) and not _has_rows_of(current, source)
        for source in sources
    )


def _has_rows_of(current: types.Artifact, source: metadata_store_pb2.Artifact) -> bool:
    """Returns whether Examples have the rows of `current`, or rows of its span that were split by another rule."""
    if source.id == current.id:
        return True
    properties = source.custom_properties
    if properties["span"].int_value != _span(current):
        return False
    is_split_anew = properties[SPLIT_RULE].string_value != current.get_string_custom_property(SPLIT_RULE)
    return is_split_anew or are_same_rows(current.mlmd_artifact.custom_properties, properties)
