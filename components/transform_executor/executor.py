"""The executor of Transform: learns from a window's examples and transforms them, file by file."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import json_format
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import transform_pb2
from tfx.types import artifact_utils

from components.artifact_types import Artifacts
from components.artifacts import LATE
from components.examples.file_work import do_on_files, on_workers, scratch_folder, shares_work
from components.examples.reading import split_files
from components.transform_executor.analysis import AnalysisCache, analyze
from components.transform_executor.file_analysis import AnalysisTask
from components.transform_executor.given import Given
from components.transform_executor.materialization import TransformTask, output_files
from components.transform_executor.output import write_transform_graph
from components.transform_executor.token_tally import WrittenTally, counts_of_spans
from components.transform_executor.traced_graph import traced, type_specs
from components.transform_executor.workers import AnalyzeFiles, TransformFiles
from transform.stateful_vocabulary import Memory, uncounted, updated, write_vocabulary_state

_TRAIN = "train"


class TransformExecutor(base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]
    """Writes what TFX's Transform writes, and the memory.

    `tests/components/transform_executor/same_as_stock.py` says how exactly it is the same.

    It passes the memory's tokens to `preprocessing_fn`, and counts the tokens of spans and vocabularies that the memory
    lacks.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        spans = [_known_by(examples) for examples in input_dict["examples"]]
        given = Given(
            exec_properties["preprocessing_fn"],
            exec_properties["custom_config"],
            artifact_utils.get_single_uri(input_dict["schema"]),
            artifact_utils.get_single_uri(input_dict["memory"]) if input_dict.get("memory") else None,
            max(spans),
        )
        splits = json_format.Parse(exec_properties["splits_config"], transform_pb2.SplitsConfig())
        cache = AnalysisCache(
            artifact_utils.get_single_uri(output_dict["updated_analyzer_cache"]),
            artifact_utils.get_single_uri(input_dict["analyzer_cache"]) if input_dict.get("analyzer_cache") else None,
            given.code(),
        )
        folder = artifact_utils.get_single_uri(output_dict["transform_graph"])
        files = {
            artifact_utils.get_split_uri([examples], split): _files(examples, split)
            for examples in input_dict["examples"]
            for split in splits.analyze
        }
        with scratch_folder(folder) as scratch:
            memory, spec = given.memory(), given.spec()
            output = self._learn(given, memory, dict(sorted(files.items())), cache, folder, scratch)
            tasks: list[TransformTask] = []
            for span, raw, artifact in zip(
                spans,
                input_dict["examples"],
                _outputs_of_spans(input_dict, output_dict, list(splits.transform)),
                strict=True,
            ):
                for split in splits.transform:
                    counted = uncounted(memory, spec, span) if split == _TRAIN else []
                    sources = _files(raw, split)
                    for source, target in zip(sources, _targets(artifact, split, len(sources)), strict=True):
                        path = os.path.join(scratch, f"tally-{len(tasks)}")
                        tally = WrittenTally(span, tuple(counted), path) if counted else None
                        tasks.append(TransformTask(source, target, tally))
            do_on_files(self, TransformFiles(given, folder), tasks)
            counts = counts_of_spans([task.tally for task in tasks if task.tally is not None], output)
            learned = updated(memory, counts, spec, given.span)
            write_vocabulary_state(learned, artifact_utils.get_single_uri(output_dict["updated_memory"]))

    def _learn(
        self,
        given: Given,
        memory: Memory | None,
        files: Mapping[str, Sequence[str]],
        cache: AnalysisCache,
        folder: str,
        scratch: str,
    ) -> tft.TFTransformOutput:
        """Computes the analyzers from the files of spans, and writes the TransformGraph and the cache."""
        parsing, function = given.parsing(), given.function(memory)
        specs = type_specs(parsing)
        graph = traced(function, specs, scratch)
        on_files = functools.partial(self._analyze, given)
        results = analyze(graph, parsing, files, cache, scratch, given.spec().crossed_lists(), on_files)
        return write_transform_graph(function, specs, graph, results, given.schema(), folder, scratch)

    def _analyze(
        self, given: Given, phase: int, known: Mapping[str, np.ndarray], tasks: Sequence[AnalysisTask]
    ) -> bool:
        """Analyzes files on workers; returns whether it did."""
        if shared := shares_work(self, tasks):
            on_workers(self, AnalyzeFiles(given, phase, dict(known)), tasks)
        return shared


def _known_by(examples: types.Artifact) -> int:
    """Returns the span by whose end the labels of Examples were known: after their own, for a completed tail."""
    return int(examples.get_int_custom_property("span")) + int(examples.get_int_custom_property(LATE))


def _files(examples: types.Artifact, split: str) -> list[str]:
    return split_files(artifact_utils.get_split_uri([examples], split))


def _outputs_of_spans(
    input_dict: Mapping[str, list[types.Artifact]], output_dict: Artifacts, splits: list[str]
) -> list[types.Artifact]:
    """Returns an output for each input of examples: of several, TFX 1.21.0 makes several, in the one's folder."""
    number = len(input_dict["examples"])
    if number > 1 and len(output_dict["transformed_examples"]) == 1:
        (whole,) = output_dict["transformed_examples"]
        output_dict["transformed_examples"] = artifact_utils.replicate_artifacts(whole, number)
    for artifact in output_dict["transformed_examples"]:
        artifact.split_names = artifact_utils.encode_split_names(splits)
    return output_dict["transformed_examples"]


def _targets(artifact: types.Artifact, split: str, number: int) -> list[str]:
    """Makes the folder of a split of transformed examples; returns the paths of its files."""
    folder = artifact_utils.get_split_uri([artifact], split)
    tf.io.gfile.makedirs(folder)
    return output_files(folder, number)
