"""Artifact types that TFX does not provide."""

from __future__ import annotations

from tfx.types.artifact import Artifact

from components import artifacts

#: The inputs or the outputs of a component or a resolver, by name.
Artifacts = dict[str, list[Artifact]]


class Quarantine(Artifact):  # type: ignore[misc]
    """The rows that did not become examples, each with its reason, and the counts of all rows."""

    TYPE_NAME = artifacts.QUARANTINE


class VocabularyMemory(Artifact):  # type: ignore[misc]
    """The vocabularies' memory of tokens: their counts in the run's span and earlier spans."""

    TYPE_NAME = artifacts.VOCABULARY_MEMORY


class Catalog(Artifact):  # type: ignore[misc]
    """A snapshot of tables, including the items' tables: one folder of tf.Examples (features and key) per table."""

    TYPE_NAME = artifacts.CATALOG


class GateRecord(Artifact):  # type: ignore[misc]
    """A gate's measurements of a span and its findings, in the format of `components.gate_records`.

    The custom properties `gate` and `span` name the gate and the span.
    """

    TYPE_NAME = artifacts.GATE_RECORD


class GateVerdict(Artifact):  # type: ignore[misc]
    """Record that a gate let a span through; custom properties record whether a person accepted what it would stop."""

    TYPE_NAME = artifacts.GATE_VERDICT
