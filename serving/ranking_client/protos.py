"""TF Serving's messages that the client sends and reads, in a descriptor pool of their own.

TensorFlow's generated modules would import all of TensorFlow, and a second definition of its messages in protobuf's
common pool would fail in a process that has both. The messages here are the same on the wire, and have the fields that
the client uses; protobuf keeps the others of what it reads.

Sources of the fields: TensorFlow Serving 2.19, `tensorflow_serving/apis/{model,predict,get_model_metadata}.proto`;
TensorFlow 2.21, `tensorflow/core/framework/{tensor,tensor_shape,types}.proto`, `core/example/{example,feature}.proto`
and `core/protobuf/meta_graph.proto`. `tests/serving/ranking_client/test_protos.py` compares them.
"""

from __future__ import annotations

import grpc

from serving.message_tables import Field, message_classes

#: TensorFlow's numbers of the dtypes of features; an enum is an int32 on the wire.
DT_FLOAT, DT_STRING = 1, 7

#: The fields by message. A message that TensorFlow nests in another is named without that one.
MESSAGES: dict[str, tuple[Field, ...]] = {
    "Int64Value": (Field("value", 1, "int64"),),
    "Any": (Field("type_url", 1, "string"), Field("value", 2, "bytes")),
    "ModelSpec": (
        Field("name", 1, "string"),
        Field("version", 2, "Int64Value"),
        Field("signature_name", 3, "string"),
        Field("version_label", 4, "string"),
    ),
    "Dim": (Field("size", 1, "int64"),),
    "TensorShapeProto": (Field("dim", 2, "Dim", "many"),),
    "TensorProto": (
        Field("dtype", 1, "int32"),
        Field("tensor_shape", 2, "TensorShapeProto"),
        Field("tensor_content", 4, "bytes"),
        Field("float_val", 5, "float", "many"),
        Field("string_val", 8, "bytes", "many"),
        Field("bool_val", 11, "bool", "many"),
    ),
    "PredictRequest": (
        Field("model_spec", 1, "ModelSpec"),
        Field("inputs", 2, "TensorProto", "by name"),
        Field("output_filter", 3, "string", "many"),
    ),
    "PredictResponse": (Field("outputs", 1, "TensorProto", "by name"), Field("model_spec", 2, "ModelSpec")),
    "GetModelMetadataRequest": (Field("model_spec", 1, "ModelSpec"), Field("metadata_field", 2, "string", "many")),
    "GetModelMetadataResponse": (Field("model_spec", 1, "ModelSpec"), Field("metadata", 2, "Any", "by name")),
    "TensorInfo": (Field("dtype", 2, "int32"), Field("tensor_shape", 3, "TensorShapeProto")),
    "SignatureDef": (Field("inputs", 1, "TensorInfo", "by name"), Field("outputs", 2, "TensorInfo", "by name")),
    "SignatureDefMap": (Field("signature_def", 1, "SignatureDef", "by name"),),
    "BytesList": (Field("value", 1, "bytes", "many"),),
    "FloatList": (Field("value", 1, "float", "many"),),
    "Feature": (Field("bytes_list", 1, "BytesList"), Field("float_list", 2, "FloatList")),
    "Features": (Field("feature", 1, "Feature", "by name"),),
    "Example": (Field("features", 1, "Features"),),
}


_CLASSES = message_classes("wide_deep_ranker_client", MESSAGES)

BytesList, Dim, Example, Feature, Features, FloatList = (
    _CLASSES[name] for name in ("BytesList", "Dim", "Example", "Feature", "Features", "FloatList")
)
GetModelMetadataRequest, GetModelMetadataResponse, ModelSpec = (
    _CLASSES[name] for name in ("GetModelMetadataRequest", "GetModelMetadataResponse", "ModelSpec")
)
PredictRequest, PredictResponse, SignatureDefMap, TensorProto, TensorShapeProto = (
    _CLASSES[name]
    for name in ("PredictRequest", "PredictResponse", "SignatureDefMap", "TensorProto", "TensorShapeProto")
)


class PredictionServiceStub:
    """The two calls of TF Serving's PredictionService that the client makes.

    Args:
      channel: A gRPC channel, synchronous or of asyncio.
    """

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None:
        service = "/tensorflow.serving.PredictionService"
        self.Predict = channel.unary_unary(  # named as the service's methods are
            f"{service}/Predict", PredictRequest.SerializeToString, PredictResponse.FromString
        )
        self.GetModelMetadata = channel.unary_unary(
            f"{service}/GetModelMetadata",
            GetModelMetadataRequest.SerializeToString,
            GetModelMetadataResponse.FromString,
        )
