"""Tests of PredictionService and ModelService over gRPC."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.serving.model_server.requests import example, examples, refusal, request, spec
from tests.serving.model_server.running import Server
from tests.serving.model_server.tiny_models import CLASSIFY, DTYPES, MODEL, REGRESS, x_request

#: By dtype, the TensorProto field that has its values: `tensorflow/core/framework/tensor.proto`.
VALUES = dict.fromkeys(("int8", "uint8", "int16", "int32"), "int_val") | {
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "string": "string_val",
}


def test_predict(server: Server) -> None:
    response = server.predictions.Predict(x_request([1, 2, 5]))
    assert response.model_spec.name == MODEL
    assert response.model_spec.version.value == 123
    assert response.model_spec.signature_name == "serving_default"
    (output,) = response.outputs.items()
    assert output[0] == "y"
    # TF Serving returns the values in their dtype's field, where clients read them.
    assert list(output[1].float_val) == [3.5, 4.0, 5.5]
    assert [dim.size for dim in output[1].tensor_shape.dim] == [3]


def test_values_may_be_bytes_or_one_for_all(server: Server) -> None:
    by_content = request(x=np.array([1, 2], np.float32))
    assert by_content.inputs["x"].tensor_content
    assert list(server.predictions.Predict(by_content).outputs["y"].float_val) == [3.5, 4.0]
    one_for_all = predict_pb2.PredictRequest(model_spec={"name": MODEL})
    one_for_all.inputs["x"].CopyFrom(tf.make_tensor_proto(1.0, shape=[3]))
    assert list(one_for_all.inputs["x"].float_val) == [1.0]
    assert list(server.predictions.Predict(one_for_all).outputs["y"].float_val) == [3.5, 3.5, 3.5]


def test_no_rows(server: Server) -> None:
    response = server.predictions.Predict(request(x=np.zeros([0], np.float32)))
    assert [dim.size for dim in response.outputs["y"].tensor_shape.dim] == [0]


@pytest.mark.parametrize("in_content", [True, False])
def test_every_dtype_comes_back_as_it_was(server: Server, in_content: bool) -> None:
    values = {
        "float32": [1.5, -np.inf],
        "float64": [0.1, np.nan],
        "bool": [True, False],
        "string": [b"", b"\x00\xff" * 40],
    } | {name: [np.iinfo(name).min, np.iinfo(name).max] for name in DTYPES if "int" in name}
    sent = request("types")
    for name, value in values.items():
        proto = sent.inputs[name]
        proto.dtype = tf.as_dtype(name).as_datatype_enum
        proto.tensor_shape.dim.add(size=2)
        if in_content and name != "string":
            proto.tensor_content = np.array(value, name).tobytes()
        else:
            getattr(proto, VALUES[name]).extend(value)
    response = server.predictions.Predict(sent)
    for name, value in values.items():
        received = tf.make_ndarray(response.outputs[f"{name}_out"])
        np.testing.assert_array_equal(received, np.array(value, received.dtype), name)


def test_only_the_outputs_asked_for(server: Server) -> None:
    inputs: dict[str, Any] = {"tag": [b"a"], "signal": np.array([[1, 2]]), "sensor": np.array([[[3]]])}
    response = server.predictions.Predict(request("named", "total", "tag", **inputs))
    assert sorted(response.outputs) == ["tag", "total"]
    assert list(response.outputs["total"].int64_val) == [6]
    code, message = refusal(server.predictions.Predict, request("named", "z", **inputs))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message == (
        "output tensor alias not found in signature: z Outputs expected to be in the set {doubled,tag,total}."
    )
    code, message = refusal(server.predictions.Predict, request("named", "tag", "tag", **inputs))
    assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, "duplicate output tensor alias: tag")


def test_classify(server: Server) -> None:
    sent = classification_pb2.ClassificationRequest(
        model_spec=spec(CLASSIFY), input=examples(example(x=1), example(x=2))
    )
    response = server.predictions.Classify(sent)
    assert response.model_spec.version.value == 123
    assert [[(c.label, c.score) for c in row.classes] for row in response.result.classifications] == [
        [("low", -3.5), ("high", 3.5)],
        [("low", -4.0), ("high", 4.0)],
    ]


def test_regress_with_context(server: Server) -> None:
    given = examples(example(x=1), example(x=2), context=example(bias=10))
    response = server.predictions.Regress(regression_pb2.RegressionRequest(model_spec=spec(REGRESS), input=given))
    assert [found.value for found in response.result.regressions] == [13.5, 14.0]
    assert response.model_spec.signature_name == REGRESS


def test_an_example_s_own_feature_wins_over_its_context_s(server: Server) -> None:
    given = examples(example(x=1), example(x=2, bias=20), context=example(bias=10))
    response = server.predictions.Regress(regression_pb2.RegressionRequest(model_spec=spec(REGRESS), input=given))
    assert [found.value for found in response.result.regressions] == [13.5, 24.0]


def test_multi_inference(server: Server) -> None:
    sent = inference_pb2.MultiInferenceRequest(input=examples(example(x=1)))
    sent.tasks.add(model_spec=spec(REGRESS), method_name=REGRESS)
    sent.tasks.add(model_spec=spec(CLASSIFY), method_name=CLASSIFY)
    regression, classification = server.predictions.MultiInference(sent).results
    assert regression.model_spec.signature_name == REGRESS
    assert [found.value for found in regression.regression_result.regressions] == [3.5]
    classes = classification.classification_result.classifications[0].classes
    assert [(found.label, found.score) for found in classes] == [("low", -3.5), ("high", 3.5)]


def test_metadata(server: Server) -> None:
    sent = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec(), metadata_field=["signature_def"])
    response = server.predictions.GetModelMetadata(sent)
    assert response.model_spec.version.value == 123
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def[REGRESS].method_name == REGRESS
    assert signatures.signature_def["serving_default"].inputs["x"].dtype == tf.float32.as_datatype_enum


def test_status(server: Server) -> None:
    response = server.models.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(model_spec=spec()))
    (found,) = response.model_version_status
    assert (found.version, found.state, found.status.error_code) == (123, found.AVAILABLE, 0)
    code, message = refusal(
        server.models.GetModelStatus, get_model_status_pb2.GetModelStatusRequest(model_spec=spec(model="no"))
    )
    assert (code, message) == (grpc.StatusCode.NOT_FOUND, "Could not find any versions of model no")


@pytest.mark.parametrize(
    ("method", "message", "error"),
    [
        ("Predict", predict_pb2.PredictRequest(), "Missing ModelSpec"),
        ("Classify", classification_pb2.ClassificationRequest(), "Missing ModelSpec"),
        ("Regress", regression_pb2.RegressionRequest(), "Missing ModelSpec"),
        ("GetModelMetadata", get_model_metadata_pb2.GetModelMetadataRequest(), "Missing ModelSpec"),
        ("MultiInference", inference_pb2.MultiInferenceRequest(), "Inference request must have at least one task."),
        (
            "MultiInference",
            inference_pb2.MultiInferenceRequest(tasks=[inference_pb2.InferenceTask()]),
            "Found ModelSpec with an empty model name.",
        ),
        (
            "MultiInference",
            inference_pb2.MultiInferenceRequest(
                tasks=[inference_pb2.InferenceTask(model_spec=spec()) for _ in range(2)]
            ),
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            "MultiInference",
            inference_pb2.MultiInferenceRequest(
                tasks=[inference_pb2.InferenceTask(model_spec=spec(name, name)) for name in ("a", "b")]
            ),
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            "GetModelMetadata",
            get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec()),
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (
            "GetModelMetadata",
            get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec(), metadata_field=["x"]),
            "Metadata field x is not supported",
        ),
        ("Regress", regression_pb2.RegressionRequest(model_spec=spec(REGRESS)), "Input is empty."),
        ("Regress", regression_pb2.RegressionRequest(model_spec=spec(REGRESS), input=examples()), "Input is empty."),
        (
            "Classify",
            classification_pb2.ClassificationRequest(model_spec=spec(REGRESS), input=examples(example(x=1))),
            'Expected classification signature outputs to contain at least one of "classes" or "scores"',
        ),
    ],
)
def test_a_request_that_cannot_be_answered(server: Server, method: str, message: Any, error: str) -> None:
    code, details = refusal(getattr(server.predictions, method), message)
    assert (code, details.partition(". Signature was: ")[0]) == (grpc.StatusCode.INVALID_ARGUMENT, error)


def test_a_task_of_no_such_method(server: Server) -> None:
    sent = inference_pb2.MultiInferenceRequest(input=examples(example(x=1)))
    sent.tasks.add(model_spec=spec(REGRESS), method_name="predict")
    code, details = refusal(server.predictions.MultiInference, sent)
    assert (code, details) == (grpc.StatusCode.UNIMPLEMENTED, "Unsupported signature method_name: predict")
