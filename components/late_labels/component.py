"""The TFX component that completes the labels of the span before the run's."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from absl import logging
from pydantic import TypeAdapter

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import base_beam_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components import storage
from components.artifact_types import Artifacts
from components.artifacts import COMPLETED_BY, LATE, NUM_OPEN, TAIL_OF
from components.examples.file_work import do_on_files, scratch_folder
from components.examples.writing import write_records
from components.execution_types import recorded_as
from components.ingestion.example_rows import ExampleEncoder
from components.ingestion.stages.tail import encode_pieces
from components.ingestion.stages.task import ROWS_AT_ONCE
from components.ingestion.tail import TAIL, open_shards, read_shard, shown_times
from components.late_labels.completion import Completion, NextSpan, counts_of_shard, next_span
from components.late_labels.counts import LateCounts
from components.spec_component import SpecBeamComponent
from transform.config.component_settings import IngestionSettings

COMPLETED = "completed"

_COUNTS = TypeAdapter(LateCounts)


class LateLabelsSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of LateLabels."""

    PARAMETERS = {"config": ExecutionParameter(type=str), "code_fingerprint": ExecutionParameter(type=str)}
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "preceding": ChannelParameter(type=standard_artifacts.Examples, optional=True),
    }
    OUTPUTS = {COMPLETED: ChannelParameter(type=standard_artifacts.Examples)}


class LateLabelsExecutor(base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]
    """Writes the examples of the tail of the span before, as far as their labels are known now."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        current = artifact_utils.get_single_instance(input_dict["examples"])
        completed = artifact_utils.get_single_instance(output_dict[COMPLETED])
        span = int(current.get_int_custom_property("span")) - 1
        completed.split_names = artifact_utils.encode_split_names(["train", "eval"])
        completed.set_int_custom_property("span", span)
        completed.set_int_custom_property(LATE, 1)
        completed.set_int_custom_property(COMPLETED_BY, current.id)
        preceding = input_dict.get("preceding", [])
        if preceding:
            completed.set_int_custom_property(TAIL_OF, preceding[0].id)
        else:
            logging.info("span %d has no Examples of this config and code: nothing of its tail is completed", span)
        config = IngestionSettings.from_json(exec_properties["config"])
        on_shards = functools.partial(do_on_files, self)
        before = preceding[0].uri if preceding else None
        counts = complete(config, span, before, current.uri, completed.uri, on_shards)
        if preceding:
            lost = preceding[0].get_int_custom_property(NUM_OPEN) - counts.waiting
            counts = dataclasses.replace(counts, lost=lost)
            if lost:
                logging.warning("the tail of span %d lacks %d impressions: %s", span, lost, preceding[0].uri)
        for name, value in dataclasses.asdict(counts).items():
            completed.set_int_custom_property(name, value)
        logging.info("late labels: %s", counts)


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """A shard of the tail to complete.

    Attributes:
      shard: The shard's file.
      examples: The file of completed examples of each split; its folder exists.
      counts: The file of the shard's counts; its folder exists.
    """

    shard: str
    examples: Mapping[str, str]
    counts: str


@dataclasses.dataclass(frozen=True)
class CompleteShards:
    """Completes shards of the tail (`components.examples.file_work.FileWork`).

    Attributes:
      config: The config, as ingestion has it.
      span: The span whose tail it is.
      following: The next span's logs.
    """

    config: IngestionSettings
    span: int
    following: NextSpan

    def begin(self) -> Callable[[ShardTask], None]:
        """Reads the next span's logs; returns the function that completes a shard."""
        completion = Completion(self.following)
        return lambda task: self.complete(completion, task)

    def complete(self, completion: Completion, task: ShardTask) -> None:
        """Writes a shard's completed examples, and its counts."""
        encoder = ExampleEncoder(self.config, self.span, late=True)
        rows = read_shard(task.shard)
        done = completion.of(rows)
        for split, of_split in _by_split(done).items():
            examples = _examples(encoder, list(self.config.sources.joined_tables), of_split)
            write_records(task.examples[split], examples)
        storage.write_text(task.counts, _COUNTS.dump_json(counts_of_shard(self.span, rows, done)).decode())


def complete(
    config: IngestionSettings,
    span: int,
    preceding: str | None,
    current: str,
    completed: str,
    on_shards: Callable[[CompleteShards, Sequence[ShardTask]], None],
) -> LateCounts:
    """Completes the tail of a span, and writes its examples in two splits, a file for each shard of the tail.

    Args:
      config: The config, as ingestion has it.
      span: The span whose tail it is.
      preceding: The folder of its Examples; None if it was not ingested.
      current: The folder of the next span's Examples.
      completed: The folder of the completed Examples.
      on_shards: Does the work on the shards.

    Returns:
      What became of the tail.
    """
    rule = config.sources.installs
    assert rule is not None
    folders = {split: os.path.join(completed, f"Split-{split}") for split in ("train", "eval")}
    for folder in folders.values():
        tf.io.gfile.makedirs(folder)
    shards = [] if preceding is None else open_shards(os.path.join(preceding, TAIL))
    if not shards:
        _write_empty(folders)
        return LateCounts(span=span, not_ingested=int(preceding is None))
    following = next_span(os.path.join(current, TAIL), map(shown_times, shards), rule)
    with scratch_folder(completed) as scratch:
        tasks = [
            ShardTask(
                shard,
                {split: os.path.join(folder, _file_name(at, len(shards))) for split, folder in folders.items()},
                os.path.join(scratch, str(at)),
            )
            for at, shard in enumerate(shards)
        ]
        on_shards(CompleteShards(config, span, following), tasks)
        counts = LateCounts(span=span, rows_read=following.rows_read())
        for task in tasks:
            with storage.open_bytes(task.counts) as file:
                counts += _COUNTS.validate_json(file.read())
    return counts


def _write_empty(folders: Mapping[str, str]) -> None:
    """Writes a file without examples for each split, as a split has at least one file."""
    for folder in folders.values():
        write_records(os.path.join(folder, _file_name(0, 1)), ())


def _file_name(at: int, number: int) -> str:
    return f"data_tfrecord-{at:05d}-of-{number:05d}.gz"


def _by_split(rows: pa.Table) -> Mapping[str, pa.Table]:
    is_eval = rows["eval"]
    return {"train": rows.filter(pc.invert(is_eval)), "eval": rows.filter(is_eval)}


def _examples(encoder: ExampleEncoder, tables: list[str], rows: pa.Table) -> Iterator[pa.Array]:
    """Yields the serialized examples of rows, of which each has its own pieces of the tables."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows.slice(start, ROWS_AT_ONCE)
        each = pa.array(range(len(some)), pa.int32())
        pieces = {name: encode_pieces(some, at) for at, name in enumerate(tables)}
        yield encoder.examples(some, dict.fromkeys(tables, each), pieces)


@recorded_as("components.late_labels.component.LateLabels")
class LateLabels(SpecBeamComponent):
    """Completes the tail of the span before the run's by the run's installs.

    Outputs `completed`: Examples of the span before (`span`) with the custom property `late`, the ids of the Examples
    that they come from, and their counts (`components.late_labels.counts`). Without a tail they are empty.

    Args:
      examples: The run's own examples.
      preceding: Those of the span before, or none.
      config: Its sections of the config, as JSON.
      code_fingerprint: The fingerprint of the component's code; part of the cache key.
    """

    SPEC_CLASS = LateLabelsSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(LateLabelsExecutor)
