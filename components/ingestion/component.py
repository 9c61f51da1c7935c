"""The TFX component that turns a span of log files into tf.Examples."""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import tensorflow as tf
from absl import logging
from apache_beam.pvalue import AsList
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration import driver_output_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components import storage
from components.artifact_types import Artifacts, Catalog, Quarantine
from components.artifacts import (
    COUNTS_FILE,
    DISK_BYTES,
    EVIDENCE_FILE,
    FILES,
    GZIP_BYTES,
    INPUT_FINGERPRINT,
    LOG_BYTES,
    NUM_OPEN,
    RECIPE,
    REJECTED_PREFIX,
    SPAN_FINGERPRINT,
    SPLIT_RULE,
    UNFIT,
)
from components.execution_types import recorded_as
from components.ingestion.counts import CountKey, counts_from_pairs, read_counts, unfitness
from components.ingestion.disk_room import check_room, disk_bytes
from components.ingestion.layout import split_rule
from components.ingestion.sketches import MAX_ENTRIES_ADDED, FilePart, bounded, combine_evidence
from components.ingestion.spans import resolve_span
from components.ingestion.stages.task import Task
from components.ingestion.tail import OPEN, TAIL
from components.ingestion.transforms import IngestImpressions, Outputs, make_task
from components.spec_component import SpecBeamComponent
from components.uncached import PortableDriver
from transform.config.component_settings import IngestionSettings
from transform.ranking import snapshot_tables

EXAMPLES, QUARANTINE, CATALOG = "examples", "quarantine", "catalog"
SPLITS = ("train", "eval")

#: The value of the exec property `requested_span` that requests the latest span.
LATEST = -1


class ImpressionExampleGenSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of ImpressionExampleGen."""

    PARAMETERS = {
        "config": ExecutionParameter(type=str),
        "data_root": ExecutionParameter(type=str),
        "requested_span": ExecutionParameter(type=int),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {
        EXAMPLES: ChannelParameter(type=standard_artifacts.Examples),
        QUARANTINE: ChannelParameter(type=Quarantine),
        CATALOG: ChannelParameter(type=Catalog),
    }


class ImpressionExampleGenDriver(PortableDriver):
    """Resolves the span and its files before the cache lookup, so that new or rewritten files change the cache key.

    It also checks that the disk has room for what ingestion writes: an executor cannot read ML Metadata.
    """

    def run(self, execution_info: ExecutionInfo) -> driver_output_pb2.DriverOutput:
        properties = execution_info.exec_properties
        config = IngestionSettings.from_json(properties["config"])
        requested = int(properties["requested_span"])
        found = resolve_span(config, properties["data_root"], None if requested == LATEST else requested)
        output = driver_output_pb2.DriverOutput()
        output.exec_properties["requested_span"].int_value = found.span
        output.exec_properties[INPUT_FINGERPRINT].string_value = found.fingerprint
        output.exec_properties[FILES].string_value = json.dumps(found.files, sort_keys=True)
        examples = copy.deepcopy(execution_info.output_dict[EXAMPLES][0].mlmd_artifact)
        examples.custom_properties["span"].int_value = found.span
        examples.custom_properties[INPUT_FINGERPRINT].string_value = found.fingerprint
        examples.custom_properties[SPAN_FINGERPRINT].string_value = found.span_fingerprint
        examples.custom_properties[SPLIT_RULE].string_value = split_rule(config, found.span_fingerprint)
        recipe = "\0".join([config.to_json(), properties["data_root"], properties["code_fingerprint"]])
        examples.custom_properties[RECIPE].string_value = hashlib.sha256(recipe.encode()).hexdigest()
        examples.custom_properties[LOG_BYTES].int_value = found.num_bytes
        examples.custom_properties[GZIP_BYTES].int_value = found.num_gzip_bytes
        with self.metadata_handle as handle:
            check_room(handle.store, execution_info.pipeline_info.id, examples)
        output.output_artifacts[EXAMPLES].artifacts.append(examples)
        return output


class _AllEvidence(beam.CombineFn):  # type: ignore[misc]
    """Collects the evidence of all files in a list, whose sketches stay bounded.

    The accumulator is the list, and the number of the sketches' entries that were added since it was bounded.
    """

    def __init__(self, config: IngestionSettings) -> None:
        self._config = config

    def create_accumulator(self) -> tuple[list[FilePart], int]:
        return [], 0

    def add_input(self, accumulator: tuple[list[FilePart], int], part: FilePart) -> tuple[list[FilePart], int]:
        parts, num_added = accumulator
        parts.append(part)
        num_added += len(part.sketch)
        is_full = num_added > MAX_ENTRIES_ADDED + len(parts)
        return (bounded(parts, self._config), 0) if is_full else (parts, num_added)

    def merge_accumulators(self, accumulators: Iterable[tuple[list[FilePart], int]]) -> tuple[list[FilePart], int]:
        parts = itertools.chain.from_iterable(parts for parts, _ in accumulators)
        return functools.reduce(self.add_input, parts, self.create_accumulator())

    def extract_output(self, accumulator: tuple[list[FilePart], int]) -> list[FilePart]:
        return accumulator[0]


class ImpressionExampleGenExecutor(base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]
    """Runs ingestion in Beam and writes the examples, the quarantine and the catalog snapshot."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        config = IngestionSettings.from_json(exec_properties["config"])
        files = {
            source: {split: tuple(paths) for split, paths in by_split.items()}
            for source, by_split in json.loads(exec_properties[FILES]).items()
        }
        (examples,) = output_dict[EXAMPLES]
        (quarantine,) = output_dict[QUARANTINE]
        (catalog,) = output_dict[CATALOG]
        span = int(exec_properties["requested_span"])
        # Of a killed run, the next run removes the execution's temporary folder.
        folder = os.path.join(self._get_tmp_dir(), "ingestion")
        outputs = Outputs(
            train=f"{examples.uri}/Split-train",
            eval=f"{examples.uri}/Split-eval",
            rejected=f"{quarantine.uri}/{REJECTED_PREFIX}-00000-of-00001.jsonl.gz",
            snapshots={name: f"{catalog.uri}/{name}" for name in snapshot_tables(config)},
            tail=f"{examples.uri}/{TAIL}",
        )
        for path in (folder, outputs.train, outputs.eval, quarantine.uri, *outputs.snapshots.values()):
            tf.io.gfile.makedirs(path)
        if config.sources.has_late_labels:
            tf.io.gfile.makedirs(f"{outputs.tail}/{OPEN}")
        try:
            self._run(make_task(config, files, span, folder), files, outputs, quarantine.uri)
            if not storage.is_remote(folder):
                _record_room(examples, [folder, examples.uri, quarantine.uri, catalog.uri])
        finally:
            tf.io.gfile.rmtree(folder)
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        counts = read_counts(quarantine.uri)
        examples.set_string_custom_property(UNFIT, unfitness(counts, config.ingestion))
        if config.sources.has_late_labels:
            examples.set_int_custom_property(NUM_OPEN, counts.unknown_labels)

    def _run(
        self, task: Task, files: Mapping[str, Mapping[str, tuple[str, ...]]], outputs: Outputs, quarantine_uri: str
    ) -> None:
        # As TFX 1.21.0's own executors do; there is no public name for it.
        with self._make_beam_pipeline() as pipeline:
            ingested = pipeline | "Ingest" >> IngestImpressions(task, files, outputs)
            counted = ingested["counted"] | "Sum" >> beam.CombinePerKey(sum)
            parts = (
                ingested["evidence"]
                | "AllEvidence" >> beam.CombineGlobally(_AllEvidence(task.config)).as_singleton_view()
            )
            _ = (
                pipeline
                | "CountsFolder" >> beam.Create([quarantine_uri])
                | "WriteCounts" >> beam.Map(_write_counts, AsList(counted), parts, task.config, task.span)
            )


def _write_counts(
    folder: str, counted: list[tuple[CountKey, int]], parts: list[FilePart], config: IngestionSettings, span: int
) -> None:
    """Writes the counts and the evidence of the quarantine."""
    counts, evidence = counts_from_pairs(counted, span), combine_evidence(parts, counted, config, span)
    storage.write_text(f"{folder}/{COUNTS_FILE}", counts.to_json() + "\n")
    storage.write_text(f"{folder}/{EVIDENCE_FILE}", evidence.to_json() + "\n")


def _record_room(examples: types.Artifact, folders: Iterable[str]) -> None:
    """Writes the room that an ingestion took into `DISK_BYTES`; an estimate for later ones need not fail this one."""
    try:
        examples.set_int_custom_property(DISK_BYTES, disk_bytes(folders))
    except OSError as error:
        logging.warning("the next ingestion's room on the disk will not be estimated by this one: %s", error)


@recorded_as("components.ingestion.component.ImpressionGen")
class ImpressionExampleGen(SpecBeamComponent):
    """Ingests one span: joins impressions with installs and tables, and writes tf.Examples in two splits.

    Outputs `examples` (with the custom property `span`; with `late_labels`, the span's tail too), `quarantine` (the
    rejected rows, each with its reason, and the counts) and `catalog` (a snapshot of the tables that
    `transform.ranking.snapshot_tables` names).

    Args:
      config: Its sections of the config, as JSON.
      data_root: The folder that the sources' paths are relative to.
      span: The span, or the runtime parameter that names it; None takes the latest.
      code_fingerprint: The fingerprint of the code that ingestion runs; part of the cache key.
    """

    SPEC_CLASS = ImpressionExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ImpressionExampleGenExecutor)
    DRIVER_CLASS = ImpressionExampleGenDriver

    def __init__(self, span: int | RuntimeParameter | None, **given: Any):
        super().__init__(requested_span=LATEST if span is None else span, **given)
