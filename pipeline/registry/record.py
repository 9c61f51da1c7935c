"""Provenance of a pushed version, from its manifest and, through ML Metadata, back to log files and row counts."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from pydantic.dataclasses import dataclass
from rich.table import Table
from rich.text import Text

from components.artifacts import COUNTS_FILE, FILES
from components.ingestion.counts import Counts, read_counts
from components.lineage import (
    accepted_stops,
    examples_behind,
    ingested_examples,
    producer,
    read_artifacts,
    select_same_rows,
)
from components.model_store.manifest import Manifest, Metrics
from components.model_store.retention import pins
from components.model_store.versions import damage, history, version_path, versions
from pipeline.metadata.connection import place_of
from pipeline.metadata.store import open_store
from pipeline.registry.list import note
from transform.documents import CONFIG
from transform.errors import InputError
from transform.ranking import absence_words


@dataclasses.dataclass(frozen=True)
class SpanRecord:
    """One span in a model's training data.

    Attributes:
      span: The span's number.
      examples_uri: The ingested examples.
      quarantine_uri: The rejected rows, and the row counts.
      counts: The row counts; None if the quarantine was removed.
      files: The log files, by source.
      accepted: By finding of a gate on data, the reason for which a person accepted it, of any ingestion of the rows.
      accepted_by: The person, by finding.
    """

    span: int
    examples_uri: str
    quarantine_uri: str
    counts: Counts | None
    files: Mapping[str, Sequence[str]]
    accepted: Mapping[str, str] = dataclasses.field(default_factory=dict)
    accepted_by: Mapping[str, str] = dataclasses.field(default_factory=dict)


def spans_behind(store: mlmd.MetadataStore, model_uri: str) -> list[SpanRecord]:
    """Finds the spans that a model was trained on, newest first; empty if ML Metadata does not have the model."""
    records = []
    for model in store.get_artifacts_by_uri(model_uri):
        ingested = ingested_examples(store, model.id)
        for examples in examples_behind(store, model.id):
            ingestion = producer(store, examples.id)
            assert ingestion is not None  # Examples with a span come from an ingestion
            (quarantine,) = [a for a in read_artifacts(store, ingestion, inputs=False) if a.type == "Quarantine"]
            (execution,) = store.get_executions_by_id([ingestion])
            existing = os.path.exists(os.path.join(quarantine.uri, COUNTS_FILE))
            accepted = accepted_stops(store, [same.id for same in select_same_rows(examples, [examples, *ingested])])
            records.append(
                SpanRecord(
                    span=examples.custom_properties["span"].int_value,
                    examples_uri=examples.uri,
                    quarantine_uri=quarantine.uri,
                    counts=read_counts(quarantine.uri) if existing else None,
                    files=files_of(execution),
                    accepted={found: reason for found, (reason, _) in accepted.items()},
                    accepted_by={found: by for found, (_, by) in accepted.items()},
                )
            )
    return sorted(records, key=lambda record: -record.span)


def files_of(execution: metadata_store_pb2.Execution) -> dict[str, list[str]]:
    """Returns the log files that an ingestion read, by source."""
    by_source = json.loads(execution.custom_properties[FILES].string_value)
    return {source: [path for paths in by_split.values() for path in paths] for source, by_split in by_source.items()}


@dataclass(frozen=True, config=CONFIG)
class VersionRecord:
    """What a version was made from, by `wdr models show --json`.

    Attributes:
      version: The version.
      serves: Whether it serves.
      path: Its folder; None if it was removed.
      pinned: The reason of its pin, which may be empty; None if it has no pin.
      manifest: Its manifest; what does not apply is None.
      spans: The spans that it was trained on, newest first; empty if ML Metadata does not have the model.
      damage: How its files or its manifest differ from what was pushed, as a sentence; empty if they do not.
      schema_version: The version of this dataclass's schema.
    """

    version: int
    serves: bool
    path: str | None
    pinned: str | None
    manifest: Manifest
    spans: Sequence[SpanRecord]
    damage: str = ""
    schema_version: Literal[1] = 1


def provenance(root: str, version: int | None, connection: metadata_store_pb2.ConnectionConfig) -> VersionRecord:
    """Finds what a version was made from.

    Args:
      root: The serving folder.
      version: The version, which may have been removed since; None takes the one that serves.
      connection: The connection to ML Metadata.

    Raises:
      InputError: If such a version was never pushed.
    """
    manifests, found = history(root), versions(root)
    if version is None and found:
        version = found[-1]
    if version is None or version not in manifests:
        raise InputError(f"a version to show must be one of {list(manifests)}. Received: {version} ({root})")
    manifest = manifests[version]
    uri = manifest.model_uri
    return VersionRecord(
        version,
        serves=version == found[-1] if found else False,
        path=version_path(root, version) if version in found else None,
        pinned=pins(root).get(version) if version in found else None,
        manifest=manifest,
        spans=() if uri is None else tuple(spans_behind(open_store(connection), uri)),
        damage=damage(root, version),
    )


def record_table(found: VersionRecord, connection: metadata_store_pb2.ConnectionConfig) -> Table:
    """Returns a table of two columns: what, and how much or where.

    Args:
      found: What the version was made from.
      connection: The connection to ML Metadata, where it was looked up.
    """
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [("version", f"{found.version}, {_state(found)}")]
    if found.damage:
        rows.append(("damaged", found.damage))
    rows += _made_from(found.manifest).items()
    if found.manifest.model_uri is not None and not found.spans:
        rows.append(("rows", f"ML Metadata has no record of the model ({place_of(connection)})"))
    for span in found.spans:
        rows += _of_span(span)
    for what, text in rows:
        table.add_row(Text(what), Text(text))  # no markup, as a person's reasons and paths may have brackets
    return table


def _state(found: VersionRecord) -> str:
    """Says whether a version serves, exists or was removed, and whether it is pinned."""
    if found.path is None:
        return "removed, since newer ones were pushed"
    state = "which serves" if found.serves else "which does not serve"
    pinned = "" if found.pinned is None else f"; pinned{': ' if found.pinned else ''}{found.pinned}"
    return f"{state}{pinned} ({found.path})"


def _made_from(manifest: Manifest) -> dict[str, str]:
    """Returns the manifest's contents as lines of text, by their label."""
    lines = {}
    if unusual := note(manifest):
        lines["note"] = unusual
    if manifest.restores is not None:
        versions_named = f"from version {manifest.rollback_of} to version {manifest.restores}"
        lines["rolled back"] = f"{versions_named}, by {manifest.rollback_by}"
    if manifest.forced is not None:
        lines["forced by"] = manifest.forced.by
    if manifest.pushed_at is not None:
        run = f", by run {manifest.run_id}" if manifest.run_id else ""
        lines["pushed"] = f"{manifest.pushed_at}{run}"
    of_model = {
        "model": manifest.model_uri,
        "config fingerprint": manifest.config_fingerprint,
        "code fingerprint": manifest.code_fingerprint,
    }
    lines |= {what: text for what, text in of_model.items() if text is not None}
    if manifest.metrics is not None:  # measured by the run that compared the model
        baseline = manifest.baseline
        held = f"version {baseline.version} ({baseline.model_uri})" if baseline else "none served yet"
        lines["held against"] = held
    if manifest.anchor is not None:
        itself = manifest.anchor == manifest.model_uri
        lines["anchor"] = "this model, from its push on" if itself else manifest.anchor
    if manifest.signatures is not None:
        absent = absence_words(manifest.absent_signatures or {})
        lines["signatures"] = "; ".join([", ".join(manifest.signatures), *absent])
    metrics = manifest.metrics or Metrics()
    for name, value in metrics.candidate.items():
        before = metrics.baseline.get(name)
        lines[name] = f"{value:.6g}" + (f"  (version before {before:.6g})" if before is not None else "")
    if manifest.sha256 is not None:
        lines["files"] = f"{len(manifest.sha256):,}, with checksums"
    return lines


def _of_span(record: SpanRecord) -> Iterator[tuple[str, str]]:
    """Yields the rows of a span: what, and how much or where."""
    yield f"span {record.span}", record.examples_uri
    for found, reason in record.accepted.items():
        by = record.accepted_by.get(found, "")
        yield "  accepted", f"{reason}{by and f' (by {by})'}: {found}"
    counts = record.counts
    if counts is None:
        yield "  rows", f"the counts were removed ({record.quarantine_uri})"
    else:
        splits = ", ".join(f"{number:,} {split}" for split, number in sorted(counts.num_examples.items()))
        yield "  examples", splits
    for source, paths in sorted(record.files.items()):
        if counts is not None:
            reasons = counts.rejected.get(source, {})
            rejected = ", ".join(f"{reason} {number:,}" for reason, number in sorted(reasons.items()))
            yield (
                f"  {source}",
                f"{counts.read.get(source, 0):,} rows read, {sum(reasons.values()):,} rejected"
                + (f" ({rejected}; {record.quarantine_uri})" if rejected else ""),
            )
        for path in paths:
            yield "", path
