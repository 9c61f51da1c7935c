"""The executor of Transform: learns from a window's examples and transforms them, without Beam."""

from __future__ import annotations

import functools
import json
import os
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import json_format, text_format
from tensorflow_metadata.proto.v0 import schema_pb2

# tf.Transform 1.21.0 has no public name for it.
from tensorflow_transform.tf_metadata import schema_utils
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import transform_pb2
from tfx.types import artifact_utils

from components.artifact_types import Artifacts
from components.artifacts import LATE
from components.examples.reading import split_files
from components.transform_executor.analysis import AnalysisCache, analyze
from components.transform_executor.materialization import Materialization, output_files
from components.transform_executor.output import write_transform_graph
from components.transform_executor.token_tally import TokenTally, WrittenTally, counts_of_spans
from components.transform_executor.traced_graph import PreprocessingFn, traced, type_specs
from transform.config.component_settings import DataSettings
from transform.preprocessing import CODE_KEY, CONFIG_KEY, REMEMBERED_KEY
from transform.stateful_vocabulary import (
    earlier_tokens,
    read_vocabulary_state,
    uncounted,
    updated,
    write_vocabulary_state,
)

_TRAIN = "train"
_SCRATCH = ".scratch"


class TransformExecutor(base_beam_executor.BaseBeamExecutor):  # type: ignore[misc]
    """Writes what TFX's Transform writes, and the memory.

    `tests/components/transform_executor/same_as_stock.py` says how exactly it is the same.

    It passes the memory's tokens to `preprocessing_fn`, and counts the tokens of spans and vocabularies that the memory
    lacks.
    """

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        custom_config = json.loads(exec_properties["custom_config"])
        spec = DataSettings.from_json(custom_config[CONFIG_KEY]).spec
        spans = [_known_by(examples) for examples in input_dict["examples"]]
        span = max(spans)
        memory = None
        if input_dict.get("memory"):
            memory = read_vocabulary_state(artifact_utils.get_single_uri(input_dict["memory"]))
            custom_config[REMEMBERED_KEY] = earlier_tokens(memory, spec, span)
        splits = json_format.Parse(exec_properties["splits_config"], transform_pb2.SplitsConfig())
        function = functools.partial(
            pkgutil.resolve_name(exec_properties["preprocessing_fn"]), custom_config=custom_config
        )
        schema = _schema(input_dict)
        parsing = schema_utils.schema_as_feature_spec(schema).feature_spec
        cache = AnalysisCache(
            artifact_utils.get_single_uri(output_dict["updated_analyzer_cache"]),
            artifact_utils.get_single_uri(input_dict["analyzer_cache"]) if input_dict.get("analyzer_cache") else None,
            custom_config.get(CODE_KEY, ""),
        )
        graph_folder = artifact_utils.get_single_uri(output_dict["transform_graph"])
        scratch = os.path.join(graph_folder, _SCRATCH)
        tf.io.gfile.makedirs(scratch)
        files = {
            artifact_utils.get_split_uri([examples], split): _files(examples, split)
            for examples in input_dict["examples"]
            for split in splits.analyze
        }
        output = _learned(function, schema, parsing, files, graph_folder, cache, spec.crossed_lists(), scratch)

        transformed = _outputs_of_spans(input_dict, output_dict, list(splits.transform))
        materialization = Materialization(output, parsing, spec.crossed_lists())
        tallies: list[WrittenTally] = []
        for of_span, raw, artifact in zip(spans, input_dict["examples"], transformed, strict=True):
            for split in splits.transform:
                counted = uncounted(memory, spec, of_span) if split == _TRAIN else []
                sources = _files(raw, split)
                for source, target in zip(sources, _targets(artifact, split, len(sources)), strict=True):
                    tally = TokenTally(spec, counted)
                    materialization.write(source, target, tally.add)
                    path = os.path.join(scratch, f"tally-{len(tallies)}")
                    tally.write(path)
                    tallies.append(WrittenTally(of_span, tuple(counted), path))
        learned = updated(memory, counts_of_spans(tallies, output), spec, span)
        write_vocabulary_state(learned, artifact_utils.get_single_uri(output_dict["updated_memory"]))
        tf.io.gfile.rmtree(scratch)


def _known_by(examples: types.Artifact) -> int:
    """Returns the span by whose end the labels of Examples were known: after their own, for a completed tail."""
    return int(examples.get_int_custom_property("span")) + int(examples.get_int_custom_property(LATE))


def _schema(input_dict: Mapping[str, list[types.Artifact]]) -> schema_pb2.Schema:
    path = os.path.join(artifact_utils.get_single_uri(input_dict["schema"]), "schema.pbtxt")
    with tf.io.gfile.GFile(path) as file:
        return text_format.Parse(file.read(), schema_pb2.Schema())


def _files(examples: types.Artifact, split: str) -> list[str]:
    return split_files(artifact_utils.get_split_uri([examples], split))


def _learned(
    function: PreprocessingFn,
    schema: schema_pb2.Schema,
    parsing: Mapping[str, Any],
    files: Mapping[str, Sequence[str]],
    folder: str,
    cache: AnalysisCache,
    crossed: Sequence[Sequence[str]],
    scratch: str,
) -> tft.TFTransformOutput:
    """Computes the analyzers from the files by split of a span, and writes the TransformGraph and the cache."""
    specs = type_specs(parsing)
    graph = traced(function, specs, scratch)
    results = analyze(graph, parsing, dict(sorted(files.items())), cache, scratch, crossed)
    return write_transform_graph(function, specs, graph, results, schema, folder, scratch)


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
