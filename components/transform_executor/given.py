"""What Transform is given, by names and folders: the executor and each worker read it for themselves."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pkgutil
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

# tf.Transform 1.21.0 has no public name for it.
from tensorflow_transform.tf_metadata import schema_utils

from components.transform_executor.traced_graph import PreprocessingFn
from transform.config.component_settings import DataSettings
from transform.feature_spec import FeatureSpec
from transform.preprocessing import CODE_KEY, CONFIG_KEY, REMEMBERED_KEY
from transform.stateful_vocabulary import Memory, earlier_tokens, read_vocabulary_state


@dataclasses.dataclass(frozen=True)
class Given:
    """What defines the transformation.

    Attributes:
      preprocessing_fn: The dotted path of the function.
      custom_config: The function's `custom_config` without the memory's tokens, as JSON.
      schema_folder: The folder of the raw examples' schema.
      memory_folder: The folder of the memory; None if there is none.
      span: The run's span.
    """

    preprocessing_fn: str
    custom_config: str
    schema_folder: str
    memory_folder: str | None
    span: int

    def spec(self) -> FeatureSpec:
        """Returns the features."""
        return DataSettings.from_json(self._custom_config()[CONFIG_KEY]).spec

    def code(self) -> str:
        """Returns the fingerprint of the code; empty if there is none."""
        return str(self._custom_config().get(CODE_KEY, ""))

    def _custom_config(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.custom_config)
        return parsed

    def memory(self) -> Memory | None:
        """Reads the memory; None if there is none."""
        return None if self.memory_folder is None else read_vocabulary_state(self.memory_folder)

    def schema(self) -> schema_pb2.Schema:
        """Reads the schema."""
        with tf.io.gfile.GFile(os.path.join(self.schema_folder, "schema.pbtxt")) as file:
            return text_format.Parse(file.read(), schema_pb2.Schema())

    def parsing(self) -> Mapping[str, Any]:
        """Returns how the raw examples are parsed, by feature."""
        parsing: Mapping[str, Any] = schema_utils.schema_as_feature_spec(self.schema()).feature_spec
        return parsing

    def function(self, memory: Memory | None) -> PreprocessingFn:
        """Returns `preprocessing_fn`, which has one argument, with the tokens of the memory."""
        custom_config = self._custom_config()
        if memory is not None:
            custom_config[REMEMBERED_KEY] = earlier_tokens(memory, self.spec(), self.span)
        return functools.partial(pkgutil.resolve_name(self.preprocessing_fn), custom_config=custom_config)
