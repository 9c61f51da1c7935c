"""The artifact types that TFX does not have."""

from __future__ import annotations

from tfx.types.artifact import Artifact

#: In a Quarantine artifact: the counts of the whole ingestion, as `Counts` of components.ingestion.counts.
COUNTS_FILE = "counts.json"

#: In a Quarantine artifact: what tells the span from others, as `Evidence` of components.ingestion.evidence.
EVIDENCE_FILE = "evidence.json"

#: In a Quarantine artifact: the rejected rows, a JSON object a line.
REJECTED_PREFIX = "rejected"

#: A property of an ingestion's execution: its log files, by source and split, as JSON.
FILES = "files"

#: A custom property of Examples: why their rows are not fit to learn from; empty if they are.
UNFIT = "unfit"

#: A custom property of Examples: a digest of the config, the data's place and the code they were ingested with; the
#: same for all Examples of one window.
RECIPE = "recipe"

#: In an InfraBlessing artifact: the verdict of the infra validation.
VERDICT_FILE = "verdict.json"

#: A custom property of Examples: the state of the files they were read from.
INPUT_FINGERPRINT = "input_fingerprint"

#: A custom property of Examples: by which rule rows went to a split.
SPLIT_RULE = "split_rule"

#: In an InfraBlessing artifact: the SHA-256 of each of the SavedModel's files, as a JSON object.
CHECKSUMS_FILE = "sha256.json"

#: A custom property of an InfraBlessing and of a PushedModel: the id of the model.
MODEL_ID = "model_id"


class Quarantine(Artifact):  # type: ignore[misc]
    """The rows that did not become examples, each with its reason, and the counts of all rows."""

    TYPE_NAME = "Quarantine"


class VocabularyMemory(Artifact):  # type: ignore[misc]
    """What the vocabularies remember of the tokens of earlier spans, the run's included."""

    TYPE_NAME = "VocabularyMemory"


class Catalog(Artifact):  # type: ignore[misc]
    """A snapshot of tables, those of items among them: a folder a table, tf.Examples with its features and key."""

    TYPE_NAME = "Catalog"


class GateRecord(Artifact):  # type: ignore[misc]
    """What a gate measured of a span and found, as `components.gate_records` writes and reads it.

    Its custom properties `gate` and `span` name the gate and the span.
    """

    TYPE_NAME = "GateRecord"


class GateVerdict(Artifact):  # type: ignore[misc]
    """That a gate let a span through; its custom properties say where a person accepted what the gate would stop."""

    TYPE_NAME = "GateVerdict"
