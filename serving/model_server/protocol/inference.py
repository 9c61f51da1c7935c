"""Answers inference requests, independently of the protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, TypeVar

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.model_server.engine import examples
from serving.model_server.engine.models import ServedVersions, Version
from serving.model_server.engine.servable import Servable
from serving.model_server.engine.signatures import (
    CLASSIFY_METHOD,
    DEFAULT_SIGNATURE,
    REGRESS_METHOD,
    Inputs,
    Signature,
    Tensors,
    check_filter,
    check_inputs,
    find_signature,
)
from serving.model_server.engine.tensors import Limits
from serving.model_server.errors import ServingError, invalid
from serving.model_server.protocol.calls import Call

#: The only field of GetModelMetadata, as in TF Serving.
SIGNATURE_DEF = "signature_def"

_Response = TypeVar("_Response")

Run = Callable[[Version, Signature, Inputs, float, Sequence[str], Hashable], Awaitable[Tensors]]


class Inference:
    """The model server's inference methods."""

    def __init__(self, served: ServedVersions, run: Run, limits: Limits) -> None:
        """Makes the inference methods.

        Args:
          served: Resolves the version that answers.
          run: Computes a signature's outputs, as `WorkQueue.run` does.
          limits: The limits of an input tensor; the most strings are also the most examples.
        """
        self.served = served
        self._run = run
        self.limits = limits

    def resolve(self, spec: model_pb2.ModelSpec, call: Call) -> Version:
        """Resolves the version that answers a call, and notes model and version in the call for the metrics."""
        call.model = self.served.counted_name(spec.name)
        call.version = self.served.resolve(spec)
        return call.version

    async def predict(self, request: predict_pb2.PredictRequest, call: Call) -> predict_pb2.PredictResponse:
        """PredictionService.Predict."""
        requested = list(request.output_filter)

        async def compute(version: Version, servable: Servable) -> predict_pb2.PredictResponse:
            signature = find_signature(servable.signatures, request.model_spec.signature_name)
            call.signature = signature.name
            check_inputs(signature, request.inputs, self.limits)
            check_filter(signature, requested)
            outputs = await self._run(version, signature, request.inputs, call.deadline, requested, call.caller)
            response = predict_pb2.PredictResponse(outputs=outputs)
            _fill_spec(response.model_spec, version, signature.name)
            return response

        return await self._answer(_spec(request), call, compute)

    async def classify(
        self, request: classification_pb2.ClassificationRequest, call: Call
    ) -> classification_pb2.ClassificationResponse:
        """PredictionService.Classify."""
        response_type = classification_pb2.ClassificationResponse
        return await self._infer(request, call, CLASSIFY_METHOD, response_type, examples.classification_result)

    async def regress(self, request: regression_pb2.RegressionRequest, call: Call) -> regression_pb2.RegressionResponse:
        """PredictionService.Regress."""
        response_type = regression_pb2.RegressionResponse
        return await self._infer(request, call, REGRESS_METHOD, response_type, examples.regression_result)

    async def _infer(
        self, request: Any, call: Call, method: str, response_type: type[Any], to_result: Callable[[Tensors, int], Any]
    ) -> Any:
        async def compute(version: Version, servable: Servable) -> Any:
            signature = examples.find_signature(servable, request.model_spec.signature_name, method)
            outputs, number = await self._run_examples(version, signature, request.input, call)
            response = response_type(result=to_result(outputs, number))
            _fill_spec(response.model_spec, version, signature.name)
            return response

        return await self._answer(_spec(request), call, compute)

    async def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, call: Call
    ) -> inference_pb2.MultiInferenceResponse:
        """PredictionService.MultiInference: runs several of a version's signatures on the same examples."""
        spec = _common_spec(request)

        async def compute(version: Version, servable: Servable) -> inference_pb2.MultiInferenceResponse:
            response = inference_pb2.MultiInferenceResponse()
            signatures = [_task_signature(servable, task) for task in request.tasks]
            for task, signature in zip(request.tasks, signatures, strict=True):
                outputs, number = await self._run_examples(version, signature, request.input, call)
                result = response.results.add()
                _fill_spec(result.model_spec, version, signature.name)
                if task.method_name == CLASSIFY_METHOD:
                    result.classification_result.CopyFrom(examples.classification_result(outputs, number))
                else:
                    result.regression_result.CopyFrom(examples.regression_result(outputs, number))
            return response

        return await self._answer(spec, call, compute)

    async def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, call: Call
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """PredictionService.GetModelMetadata: returns a version's signatures."""
        spec = _spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid(f"Metadata field {field} is not supported")
        version = self.resolve(spec, call)
        with version.used() as servable:
            signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.meta_graph.signature_def)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        _fill_spec(response.model_spec, version)
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    async def _run_examples(
        self, version: Version, signature: Signature, request_input: input_pb2.Input, call: Call
    ) -> tuple[Tensors, int]:
        call.signature = signature.name
        proto = examples.to_tensor_proto(request_input, self.limits)
        inputs = {examples.INPUTS: proto}
        check_inputs(signature, inputs, self.limits)
        outputs = await self._run(version, signature, inputs, call.deadline, (), call.caller)
        return outputs, len(proto.string_val)

    async def _answer(
        self, spec: model_pb2.ModelSpec, call: Call, compute: Callable[[Version, Servable], Awaitable[_Response]]
    ) -> _Response:
        """Computes the answer with the version that the request asks for.

        If the request asks for no version, and a newer version has answered another request meanwhile, the answer is
        computed again: a client never gets an answer from an older version than before.
        """
        while True:
            version = self.resolve(spec, call)
            with version.used() as servable:
                response = await compute(version, servable)
            if spec.WhichOneof("version_choice") is not None:
                return response
            latest = self.served.latest(spec.name)
            if latest is None or latest is version or not latest.answered:
                version.answered = True
                return response


def _spec(request: object) -> model_pb2.ModelSpec:
    if not request.HasField("model_spec"):  # type: ignore[attr-defined]
        raise invalid("Missing ModelSpec")
    return request.model_spec  # type: ignore[attr-defined]


def _fill_spec(spec: model_pb2.ModelSpec, version: Version, signature_name: str = "") -> None:
    spec.name = version.model
    spec.version.value = version.number
    spec.signature_name = signature_name


def _common_spec(request: inference_pb2.MultiInferenceRequest) -> model_pb2.ModelSpec:
    """The model spec that all tasks of a request share; each signature may be named once."""
    if not request.tasks:
        raise invalid("Inference request must have at least one task.")
    names: set[str] = set()
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in names:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        names.add(name)
    return request.tasks[0].model_spec


def _task_signature(servable: Servable, task: inference_pb2.InferenceTask) -> Signature:
    name = task.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise invalid(f"Requested signature not found in model graph: {name}")
    if task.method_name not in (CLASSIFY_METHOD, REGRESS_METHOD):
        raise ServingError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
    return examples.find_signature(servable, name, task.method_name)
