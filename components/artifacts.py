"""The names of artifacts' types, files and custom properties; imports nothing, so that a reader of them starts fast."""

from __future__ import annotations

#: In a Quarantine artifact: the counts of the whole ingestion, as `Counts` of components.ingestion.counts.
COUNTS_FILE = "counts.json"

#: In a Quarantine artifact: the evidence that identifies the span, as `Evidence` of components.ingestion.evidence.
EVIDENCE_FILE = "evidence.json"

#: In a Quarantine artifact: the prefix of the files with the rejected rows, one JSON object per line.
REJECTED_PREFIX = "rejected"

#: A property of an ingestion's execution: its input files by source and split, as JSON.
FILES = "files"

#: A custom property of Examples: why their rows are unfit for training; empty if they are fit.
UNFIT = "unfit"

#: A custom property of Examples: a digest of the config, the data root and the code that they were ingested with; equal
#: for all Examples of one window.
RECIPE = "recipe"

#: In an InfraBlessing artifact: the verdict, as `Verdict` of components.infra_validation.verdict.
VERDICT_FILE = "verdict.json"

#: A custom property of Examples: the fingerprint of the files that they were read from.
INPUT_FINGERPRINT = "input_fingerprint"

#: A custom property of Examples: the fingerprint of the files of their span alone, without tables that all spans share;
#: missing in those of an earlier release.
SPAN_FINGERPRINT = "span_fingerprint"

#: A custom property of Examples: the rule that assigned rows to splits.
SPLIT_RULE = "split_rule"

#: A custom property of Examples, 1 or missing: whether they are the completed tail of their span, whose labels were
#: known by the end of the next span (`components.late_labels`).
LATE = "late"

#: Custom properties of such Examples: the ids of the Examples that have the tail, and of those that completed it.
TAIL_OF, COMPLETED_BY = "tail_of", "completed_by"

#: A custom property of Examples with a tail: the number of its impressions.
NUM_OPEN = "num_open_impressions"

#: Custom properties of Examples: the size in bytes of the log files and tables that they were read from, and of those
#: among them whose names end in `.gz`.
LOG_BYTES, GZIP_BYTES = "log_bytes", "gzip_bytes"

#: A custom property of Examples: the bytes that the files of their ingestion took on its disk at its end, temporary
#: files included; missing on an object store.
DISK_BYTES = "disk_bytes"

#: In the statistics of a feature of texts: a custom statistic, 1 or missing, which says that the number of distinct
#: values is an estimate, and that the counts of the most frequent values may be too low.
ESTIMATED = "estimated_frequencies"

#: In the statistics of a feature of texts: a custom statistic, 1 or missing, which says that the number of distinct
#: values and the most frequent ones were not counted, as for ids.
UNCOUNTED = "uncounted_frequencies"

#: In an InfraBlessing artifact: the SHA-256 of each of the SavedModel's files, as `Checksums` of
#: components.infra_validation.verdict.
CHECKSUMS_FILE = "checksums.json"

#: A custom property of an InfraBlessing and of a PushedModel: the id of the model.
MODEL_ID = "model_id"

#: A custom property of an InfraBlessing, 1 or missing: whether it refuses the model for its time or memory alone.
MAY_CHANGE = "may_change"

#: The types of this project's artifacts in ML Metadata, each a class of components.artifact_types.
QUARANTINE, VOCABULARY_MEMORY, CATALOG, GATE_RECORD, GATE_VERDICT = (
    "Quarantine",
    "VocabularyMemory",
    "Catalog",
    "GateRecord",
    "GateVerdict",
)
