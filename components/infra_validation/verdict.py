"""The dry run's documents: the verdict on a model, and the checksums of the files that it was reached on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from components import storage
from components.artifacts import CHECKSUMS_FILE, VERDICT_FILE
from transform.documents import CONFIG, Document
from transform.errors import InputError
from transform.signature_names import SERVING_SIGNATURE

_Content = TypeVar("_Content")


@dataclass(frozen=True, config=CONFIG)
class Latency:
    """The time for one request's 200 candidate items, in milliseconds (paper, table 2).

    Attributes:
      batch_size: Candidate items per batch.
      threads: The number of batches, each on its own thread.
      p50_ms: The median.
      p95_ms: The 95th percentile.
      p99_ms: The 99th percentile.
    """

    batch_size: int
    threads: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, config=CONFIG)
class Measurements:
    """A model's costs.

    Attributes:
      load_seconds: The time to load the model.
      size_mb: The size of its files.
      peak_memory_mb: The peak memory of its process, TensorFlow included.
      memory_mb: The memory that the model adds to that of a process with TensorFlow only.
      latency: The latencies, one for each batch size.
      signature: The signature that was timed, which is the one that serves.
    """

    load_seconds: float
    size_mb: float
    peak_memory_mb: float
    memory_mb: float
    latency: tuple[Latency, ...]
    signature: str = SERVING_SIGNATURE

    @property
    def best_latency(self) -> Latency:
        """The latency with the lowest median."""
        return min(self.latency, key=lambda latency: latency.p50_ms)


@dataclass(frozen=True, config=CONFIG)
class Comparison:
    """The result of comparing scores of the exported model with the expected ones.

    Attributes:
      num_rows: The number of scores compared.
      num_different: The number of scores that differ by more than `TOLERANCE`.
      largest_difference: The largest difference; 1, the maximum, if a score is missing or not finite.
      problem: One sentence; empty if no score differs.
    """

    num_rows: int
    num_different: int
    largest_difference: float
    problem: str


@dataclass(frozen=True, config=CONFIG)
class Verdict:
    """The dry run's verdict on a model, `verdict.json` in an InfraBlessing artifact.

    Attributes:
      problems: Why the model must not be pushed, one sentence each.
      candidate: The candidate model's costs; None if they were not measured.
      baseline: The baseline's costs; None without a baseline, or if it could not be run.
      baseline_problem: Why the baseline could not be run; else empty.
      row_skew: The comparison with the trainer's own scores, row by row.
      rank_skew: The same comparison for the scores of the rows' items by `rank_items`, given their features.
      eval_skew: The comparison over all evaluation examples.
      catalog_skew: For each ranking signature, the comparison of its scores of contexts and item ids with
        `serving_default`'s of whole examples made from the run's catalog; empty for a model without `rank`.
      num_catalog_items: The number of items of the catalog ranked for `catalog_skew`.
      largest_change: The largest relative difference of the scores of the requests, and of those of `rank`, from the
        baseline's; None without a baseline, or if it did not score them.
      machine: What other processes did while the costs were measured; empty if they were not measured.
      tries: Why each earlier try of the dry run was not the last one, one sentence each.
      may_change: Whether the model is refused for its time or memory alone, on which a quieter machine may decide
        otherwise: the next run measures it again.
      schema_version: The version of this dataclass's schema.
    """

    problems: tuple[str, ...]
    candidate: Measurements | None = None
    baseline: Measurements | None = None
    baseline_problem: str = ""
    row_skew: Comparison | None = None
    rank_skew: Comparison | None = None
    eval_skew: Comparison | None = None
    catalog_skew: Mapping[str, Comparison] = Field(default_factory=dict)
    num_catalog_items: int = 0
    largest_change: float | None = None
    machine: str = ""
    tries: tuple[str, ...] = ()
    may_change: bool = False
    schema_version: Literal[1] = 1


@dataclass(frozen=True, config=CONFIG)
class Checksums:
    """The files that the dry run has run, `checksums.json` in an InfraBlessing artifact.

    Attributes:
      sha256: The SHA-256 of each of the SavedModel's files, in hexadecimal, by its path in the SavedModel.
      schema_version: The version of this dataclass's schema.
    """

    sha256: Mapping[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
    schema_version: Literal[1] = 1


#: How the two documents are written and read.
VERDICT = Document(Verdict, "the dry run's verdict")
CHECKSUMS = Document(Checksums, "the dry run's checksums")


def write_verdict(uri: str, verdict: Verdict, sha256: Mapping[str, str]) -> None:
    """Writes the documents into an InfraBlessing artifact's folder.

    Args:
      uri: The folder.
      verdict: The verdict.
      sha256: The checksums of the SavedModel's files, as before the model ran.
    """
    storage.write_text(os.path.join(uri, VERDICT_FILE), VERDICT.to_json(verdict))
    storage.write_text(os.path.join(uri, CHECKSUMS_FILE), CHECKSUMS.to_json(Checksums(sha256)))


def read_verdict(uri: str) -> Verdict:
    """Reads an InfraBlessing artifact's verdict; raises InputError if there is none, or it is damaged."""
    return _read(uri, VERDICT_FILE, VERDICT, "its verdict")


def read_checksums(uri: str) -> Mapping[str, str]:
    """Reads the SHA-256 by file from an InfraBlessing artifact; raises InputError if it has none or a damaged one."""
    return _read(uri, CHECKSUMS_FILE, CHECKSUMS, "checksums of the model's files").sha256


def _read(uri: str, name: str, document: Document[_Content], what: str) -> _Content:
    path = os.path.join(uri, name)
    text = storage.read_text(path)
    if text is None:
        raise InputError(f"a dry run must leave {what}. Received: no file {path}")
    return document.from_json(text, path)
