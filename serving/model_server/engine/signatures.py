"""What a loaded model offers: its signatures, and the types of their inputs and outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

#: TF Serving's constants, from `tensorflow/cc/saved_model/signature_constants.h`.
DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"

Inputs = Mapping[str, tensor_pb2.TensorProto]
Tensors = dict[str, tensor_pb2.TensorProto]


@dataclasses.dataclass(frozen=True)
class Signature:
    """One of a model's signatures.

    Attributes:
      name: Its name.
      definition: Its SignatureDef: the method name, and the dtypes and shapes of its inputs and outputs.
      inputs: The inputs' names, sorted.
      outputs: The outputs' names, sorted.
      float_features: The features that it parses from tf.Examples as floats.
    """

    name: str
    definition: meta_graph_pb2.SignatureDef
    inputs: Sequence[str]
    outputs: Sequence[str]
    float_features: frozenset[str] = frozenset()
