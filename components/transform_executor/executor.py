"""The executor of Transform: learns from a window's examples and transforms them, without Beam."""

from __future__ import annotations

import functools
import json
import os
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
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
from components.transform_executor.materialization import Materialization, Seen, output_prefix
from components.transform_executor.output import write_transform_graph
from components.transform_executor.traced_graph import PreprocessingFn, traced, type_specs
from transform.config.component_settings import DataSettings
from transform.feature_spec import FeatureSpec, transformed_name, vocabulary_file_name
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
        crossed = spec.crossed_lists()
        output = _learned(function, schema, parsing, input_dict, output_dict, splits.analyze, cache, crossed)

        transformed = _outputs_of_spans(input_dict, output_dict, list(splits.transform))
        tally = TokenTally(output, spec)
        materialization = Materialization(output, parsing, crossed)
        for of_span, raw, artifact in zip(spans, input_dict["examples"], transformed, strict=True):
            for split in splits.transform:
                folder = artifact_utils.get_split_uri([artifact], split)
                tf.io.gfile.makedirs(folder)
                counted = uncounted(memory, spec, of_span) if split == _TRAIN else []
                seen = tally.of_span(of_span, counted) if counted else None
                materialization.write(_files(raw, split), output_prefix(folder), seen)
        learned = updated(memory, tally.counts(), spec, span)
        write_vocabulary_state(learned, artifact_utils.get_single_uri(output_dict["updated_memory"]))


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
    input_dict: Mapping[str, list[types.Artifact]],
    output_dict: Mapping[str, list[types.Artifact]],
    splits: Sequence[str],
    cache: AnalysisCache,
    crossed: Sequence[Sequence[str]],
) -> tft.TFTransformOutput:
    """Computes the analyzers from some splits of all examples, and writes the TransformGraph and the cache."""
    folder = artifact_utils.get_single_uri(output_dict["transform_graph"])
    scratch = os.path.join(folder, _SCRATCH)
    tf.io.gfile.makedirs(scratch)
    files = {
        artifact_utils.get_split_uri([examples], split): _files(examples, split)
        for examples in input_dict["examples"]
        for split in splits
    }
    specs = type_specs(parsing)
    graph = traced(function, specs, scratch)
    results = analyze(graph, parsing, dict(sorted(files.items())), cache, scratch, crossed)
    output = write_transform_graph(function, specs, graph, results, schema, folder, scratch)
    tf.io.gfile.rmtree(scratch)
    return output


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


class TokenTally:
    """Counts the tokens of vocabularies in the transformed examples of spans.

    It keeps each vocabulary's tokens once, and 8 bytes a token for each span.

    Args:
      output: The transform graph.
      spec: The features.
    """

    def __init__(self, output: tft.TFTransformOutput, spec: FeatureSpec) -> None:
        self._output = output
        self._inputs = {
            **{name: [transformed_name(f.name) for f in spec.sharers(name)] for name in spec.vocabularies},
            **{cross.name: [transformed_name(cross.name)] for cross in spec.crosses},
        }
        self._tokens: dict[str, list[bytes]] = {}
        self._totals: dict[int, dict[str, npt.NDArray[np.int64]]] = {}

    def of_span(self, span: int, names: Sequence[str]) -> Seen:
        """Returns a function that counts the tokens of some vocabularies in a batch of a span.

        A span may be given again: a tail is of the same span as the Examples that completed it.
        """
        totals = self._totals.setdefault(span, {})
        for name in names:
            if name not in self._tokens:
                self._tokens[name] = self._output.vocabulary_by_name(vocabulary_file_name(name))
            totals.setdefault(name, np.zeros(len(self._tokens[name]), np.int64))
        return functools.partial(self._add, totals)

    def _add(self, totals: Mapping[str, npt.NDArray[np.int64]], transformed: Mapping[str, Any]) -> None:
        for name, total in totals.items():
            for of_input in self._inputs[name]:
                values = transformed[of_input]
                ids = (values.values if isinstance(values, tf.SparseTensor) else values).numpy()
                np.add.at(total, ids[ids < total.size], 1)  # ids behind a vocabulary are of tokens that it lacks

    def counts(self) -> dict[int, dict[str, Iterable[tuple[bytes, int]]]]:
        """Returns, by span and vocabulary, each token that occurs and how often; the pairs can be read once."""
        return {
            span: {name: _pairs(self._tokens[name], total) for name, total in totals.items()}
            for span, totals in self._totals.items()
        }


def _pairs(tokens: Sequence[bytes], total: npt.NDArray[np.int64]) -> Iterator[tuple[bytes, int]]:
    rows = np.flatnonzero(total)
    for row, count in zip(rows.tolist(), total[rows].tolist(), strict=True):
        yield tokens[row], count
