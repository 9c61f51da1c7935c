"""TFX's Transform with a memory: its vocabularies keep tokens of earlier spans that are not in the window."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.components.transform.executor import Executor
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.proto import transform_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec
from tfx.types.standard_component_specs import TransformSpec

from components.artifacts import VocabularyMemory
from components.execution_types import recorded_as
from transform.config.config import Config
from transform.feature_spec import FeatureSpec, transformed_name, vocabulary_file_name
from transform.preprocessing import CONFIG_KEY, MEMORY_KEY, SPAN_KEY
from transform.vocabulary_memory import read_memory, rules, updated, write_memory

_TRAIN = "train"
_BATCH_SIZE = 4096


class RememberingTransformSpec(ComponentSpec):  # type: ignore[misc]
    """The spec of TFX's Transform, plus the memory before and after the run."""

    PARAMETERS = TransformSpec.PARAMETERS
    INPUTS = {**TransformSpec.INPUTS, "memory": ChannelParameter(type=VocabularyMemory, optional=True)}
    OUTPUTS = {**TransformSpec.OUTPUTS, "updated_memory": ChannelParameter(type=VocabularyMemory)}
    TYPE_ANNOTATION = TransformSpec.TYPE_ANNOTATION


class RememberingTransformExecutor(Executor):  # type: ignore[misc]
    """Passes the memory's folder to `preprocessing_fn`, and counts the tokens of spans that the memory lacks."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        custom_config = json.loads(exec_properties["custom_config"])
        spec = Config.from_json(custom_config[CONFIG_KEY]).spec
        spans = [int(examples.get_int_custom_property("span")) for examples in input_dict["examples"]]
        span = max(spans)
        memory = None
        if input_dict.get("memory"):
            uri = artifact_utils.get_single_uri(input_dict["memory"])
            memory = read_memory(uri)
            custom_config |= {MEMORY_KEY: uri, SPAN_KEY: span}
        # Of several Examples, TFX 1.21.0 makes several outputs: it exchanges the list in `output_dict`.
        super().Do(
            input_dict, output_dict, {**exec_properties, "custom_config": json.dumps(custom_config, sort_keys=True)}
        )
        graph = tft.TFTransformOutput(artifact_utils.get_single_uri(output_dict["transform_graph"]))
        counts = {
            of_span: count_tokens(graph, [os.path.join(artifact_utils.get_split_uri([examples], _TRAIN), "*")], spec)
            for of_span, examples in zip(spans, output_dict["transformed_examples"], strict=True)
            if memory is None or of_span > memory.span
        }
        write_memory(updated(memory, counts, spec, span), artifact_utils.get_single_uri(output_dict["updated_memory"]))


def count_tokens(
    graph: tft.TFTransformOutput, patterns: Sequence[str], spec: FeatureSpec
) -> dict[str, dict[bytes, int]]:
    """Counts the tokens of vocabularies in transformed examples.

    Args:
      graph: The transform graph of tf.Transform.
      patterns: Globs of the examples' files.
      spec: The features.

    Returns:
      For each vocabulary with a memory, the number of occurrences of each of its tokens that occurs in the examples.
    """
    vocabularies = {name: graph.vocabulary_by_name(vocabulary_file_name(name)) for name in rules(spec)}
    inputs = {
        name: [transformed_name(f.name) for f in spec.sharers(name)]
        if name in spec.vocabularies
        else [transformed_name(name)]
        for name in vocabularies
    }
    if not vocabularies:
        return {}
    parsing = graph.transformed_feature_spec()
    read = {name: parsing[name] for names in inputs.values() for name in names}
    totals = {name: np.zeros(len(tokens), np.int64) for name, tokens in vocabularies.items()}
    files = sorted({path for pattern in patterns for path in tf.io.gfile.glob(pattern)})
    for records in tf.data.TFRecordDataset(files, compression_type="GZIP").batch(_BATCH_SIZE):
        parsed = tf.io.parse_example(records, read)
        for name, total in totals.items():
            for of_input in inputs[name]:
                ids = _ids(parsed[of_input])
                total += np.bincount(ids[ids < total.size], minlength=total.size)
    return {
        name: {vocabularies[name][row]: int(total[row]) for row in np.flatnonzero(total)}
        for name, total in totals.items()
    }


def _ids(values: tf.Tensor | tf.SparseTensor) -> np.ndarray:
    ids: np.ndarray = (values.values if isinstance(values, tf.SparseTensor) else values).numpy()
    return ids.reshape(-1)


@recorded_as("components.remembering_transform.RememberingTransform")
class RememberingTransform(base_beam_component.BaseBeamComponent):  # type: ignore[misc]
    """TFX's Transform, with the vocabularies' memory as an additional input and output."""

    SPEC_CLASS = RememberingTransformSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(RememberingTransformExecutor)

    def __init__(
        self,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        analyzer_cache: types.BaseChannel,
        memory: types.BaseChannel,
        preprocessing_fn: str,
        splits_config: transform_pb2.SplitsConfig,
        custom_config: Mapping[str, Any],
    ):
        """Declares the component.

        Args:
          examples: The window's examples.
          schema: The examples' schema.
          analyzer_cache: The analyzer cache of an earlier run, or none.
          memory: The memory of an earlier span, or none.
          preprocessing_fn: The dotted path of the function; its `custom_config` has the memory's folder under
            `MEMORY_KEY`, and the run's span under `SPAN_KEY`.
          splits_config: The splits that are analyzed and transformed.
          custom_config: The function's `custom_config`; it must have `CONFIG_KEY`.
        """
        super().__init__(
            spec=RememberingTransformSpec(
                examples=examples,
                schema=schema,
                analyzer_cache=analyzer_cache,
                memory=memory,
                preprocessing_fn=preprocessing_fn,
                splits_config=splits_config,
                custom_config=json.dumps(dict(custom_config), sort_keys=True),
                force_tf_compat_v1=0,
                disable_statistics=1,  # nothing reads them; StatisticsGen has those of the raw examples
                transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
                transformed_examples=types.Channel(type=standard_artifacts.Examples),
                updated_analyzer_cache=types.Channel(type=standard_artifacts.TransformCache),
                updated_memory=types.Channel(type=VocabularyMemory),
            )
        )
