"""TF Serving's gRPC services: PredictionService and ModelService."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.model_server.errors import ServingError
from serving.model_server.inference import Inference
from serving.model_server.logs import log
from serving.model_server.model_service import ModelStatus

#: A status travels in HTTP/2 trailers, which take 8 kB in all.
_MAX_MESSAGE = 2000

_Response = TypeVar("_Response")


def add_services(server: grpc.aio.Server, inference: Inference, models: ModelStatus) -> None:
    """Adds both services to a server."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(inference), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(models), server)


def _deadline(context: grpc.aio.ServicerContext) -> float:
    remaining = context.time_remaining()
    return float("inf") if remaining is None else time.monotonic() + remaining


async def _answer(context: grpc.aio.ServicerContext, response: Awaitable[_Response]) -> _Response:
    try:
        return await response
    except ServingError as error:
        await context.abort(error.code, error.message[:_MAX_MESSAGE])
    except Exception as error:
        log("error", "a request failed", reason=f"{type(error).__name__}: {error}")
        await context.abort(grpc.StatusCode.INTERNAL, f"the model server failed: {type(error).__name__}")
    raise AssertionError  # `abort` raises


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(context, self._inference.predict(request, _deadline(context)))

    async def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(context, self._inference.classify(request, _deadline(context)))

    async def Regress(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(context, self._inference.regress(request, _deadline(context)))

    async def MultiInference(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(context, self._inference.multi_inference(request, _deadline(context)))

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(context, _soon(self._inference.metadata, request))


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    def __init__(self, models: ModelStatus) -> None:
        self._models = models

    async def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(context, _soon(self._models.status, request))

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answer(context, self._models.reload(request))


async def _soon(function: Callable[[Any], _Response], request: object) -> _Response:
    return function(request)
