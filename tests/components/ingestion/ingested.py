"""Runs the executor of ImpressionExampleGen, and reads what it wrote."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components.artifact_types import Catalog, Quarantine
from components.artifacts import DISK_BYTES, UNFIT
from components.ingestion.component import ImpressionExampleGenExecutor
from components.ingestion.counts import Counts, read_counts
from components.ingestion.evidence import Evidence, read_evidence
from components.ingestion.spans import resolve_span
from pipeline.beam_options import LOCAL_BEAM_ARGS
from transform.config.component_configs import for_ingestion
from transform.config.config import Config


@dataclasses.dataclass(frozen=True)
class Ingested:
    """The outputs of one run of the executor."""

    examples: dict[str, list[dict[str, list[Any]]]]
    rejected: list[dict[str, Any]]
    catalog: list[dict[str, list[Any]]]
    counts: Counts
    evidence: Evidence
    unfit: str
    disk_bytes: int


def to_dict(record: bytes) -> dict[str, list[Any]]:
    result = {}
    for name, feature in tf.train.Example.FromString(record).features.feature.items():
        values = list(getattr(feature, feature.WhichOneof("kind")).value)
        result[name] = [v.decode() if isinstance(v, bytes) else v for v in values]
    return result


def records(folder: Path) -> list[dict[str, list[Any]]]:
    files = [str(path) for path in sorted(folder.iterdir())]
    return [to_dict(r) for r in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()]


def ingest(config: Config, data: Path, out: Path, beam_args: Sequence[str] = LOCAL_BEAM_ARGS) -> Ingested:
    found = resolve_span(config, str(data))
    examples, quarantine, catalog = standard_artifacts.Examples(), Quarantine(), Catalog()
    for name, artifact in (("examples", examples), ("quarantine", quarantine), ("catalog", catalog)):
        artifact.uri = str(out / name)
        (out / name).mkdir(parents=True)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=list(beam_args), tmp_dir=str(out / "tmp"), unique_id="1"
    )
    ImpressionExampleGenExecutor(context).Do(
        {},
        {"examples": [examples], "quarantine": [quarantine], "catalog": [catalog]},
        {"config": for_ingestion(config).to_json(), "files": json.dumps(found.files), "requested_span": found.span},
    )
    assert json.loads(examples.split_names) == ["train", "eval"]
    rejected = []
    for path in (out / "quarantine").glob("rejected*"):
        with gzip.open(path, "rt", encoding="ascii") as file:
            rejected += [json.loads(line) for line in file]
    tables = out / "catalog" / "catalog"
    return Ingested(
        {split: records(out / "examples" / f"Split-{split}") for split in ("train", "eval")},
        sorted(rejected, key=lambda r: (r["source"], r["file"], r["line"])),
        records(tables) if tables.exists() else [],
        read_counts(quarantine.uri),
        read_evidence(quarantine.uri),
        examples.get_string_custom_property(UNFIT),
        examples.get_int_custom_property(DISK_BYTES),
    )
