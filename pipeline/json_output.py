"""What the commands `wdr models …`, `gc`, `check` and `score` print with `--json`: one document each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from components.model_store.manifest import Manifest
from pipeline.check.source_report import SourceReport
from pipeline.registry.diff import Difference
from pipeline.registry.list import VersionEntry
from pipeline.registry.progressive import ProgressiveValidation
from pipeline.registry.record import Provenance, SpanRecord
from transform.documents import CONFIG, Document


@dataclass(frozen=True, config=CONFIG)
class VersionList:
    """The pushed versions of a workspace, by `wdr models list --json`.

    Attributes:
      versions: The versions, by model, the oldest first.
      schema_version: The version of this dataclass's schema.
    """

    versions: Sequence[VersionEntry]
    schema_version: Literal[1] = 1


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
      schema_version: The version of this dataclass's schema.
    """

    version: int
    serves: bool
    path: str | None
    pinned: str | None
    manifest: Manifest
    spans: Sequence[SpanRecord]
    schema_version: Literal[1] = 1


@dataclass(frozen=True, config=CONFIG)
class Differences:
    """The differences of two versions, by `wdr models diff --json`.

    Attributes:
      first: The first version.
      second: The second version.
      differences: The differences; empty if there is none.
      schema_version: The version of this dataclass's schema.
    """

    first: int
    second: int
    differences: Sequence[Difference]
    schema_version: Literal[1] = 1


@dataclass(frozen=True, config=CONFIG)
class History:
    """How each model did on the span after its own, by `wdr models history --json`.

    Attributes:
      validations: The validations, by span.
      schema_version: The version of this dataclass's schema.
    """

    validations: Sequence[ProgressiveValidation]
    schema_version: Literal[1] = 1


@dataclass(frozen=True, config=CONFIG)
class VersionChange:
    """What a command has changed, by `wdr models rollback`, `pin`, `unpin` and `tf-serving` with `--json`.

    Attributes:
      command: The command's name, such as `rollback`.
      version: The version that it was about, or that serves now; None if it was about several.
      path: The version's folder, or the file that was written.
      sentences: What was done, as the command prints it without `--json`.
      schema_version: The version of this dataclass's schema.
    """

    command: str
    version: int | None
    path: str
    sentences: Sequence[str]
    schema_version: Literal[1] = 1


@dataclass(frozen=True, config=CONFIG)
class GarbageList:
    """The files that a garbage collection removes, by `wdr gc --json`.

    Attributes:
      dry_run: Whether they were left in place.
      num_bytes: The size of each artifact's folder and log file, by its path.
      total_bytes: The sum of the sizes.
      schema_version: The version of this dataclass's schema.
    """

    dry_run: bool
    num_bytes: Mapping[str, int]
    total_bytes: int
    schema_version: Literal[1] = 1


@dataclass(frozen=True, config=CONFIG)
class CheckResult:
    """What was found in a config's data, by `wdr check --json`; a mistake is an error instead.

    Attributes:
      config: The config's file.
      span: The span that was checked.
      sources: What was found in each source.
      columns: Columns that no row has, one sentence each.
      joins: Keys without a row, one sentence for each table.
      values: Values that a window lacks, one sentence for each feature.
      training: Where the config leaves quality on the table, one sentence each.
      schema_version: The version of this dataclass's schema.
    """

    config: str
    span: int
    sources: Sequence[SourceReport]
    columns: Sequence[str]
    joins: Sequence[str]
    values: Sequence[str]
    training: Sequence[str]
    schema_version: Literal[1] = 1


@dataclass(frozen=True, config=CONFIG)
class ScoreResult:
    """How many rows were scored, by `wdr score --json`.

    Attributes:
      output: The file that was written.
      num_scored: Number of rows with a score.
      num_unscored: Number of rows without one.
      problems: One sentence for each of the first rows without a score.
      notes: What else a user should know of the input, one sentence each.
      schema_version: The version of this dataclass's schema.
    """

    output: str
    num_scored: int
    num_unscored: int
    problems: Sequence[str]
    notes: Sequence[str] = ()
    schema_version: Literal[1] = 1


def record_of(found: Provenance) -> VersionRecord:
    """Returns the document of what a version was made from."""
    return VersionRecord(found.version, found.serves, found.path, found.pinned, found.manifest, found.spans)


def render_json(found: Any) -> str:
    """Returns one of these documents as JSON, with a newline at its end."""
    return Document(type(found), type(found).__name__).to_json(found)
