"""TF Serving's gRPC services: PredictionService and ModelService."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.model_server.calls import Call, observed
from serving.model_server.errors import ServingError
from serving.model_server.inference import Inference
from serving.model_server.metrics import Metrics
from serving.model_server.model_service import ModelStatus

#: A status travels in HTTP/2 trailers, which take 8 kB in all.
_MAX_MESSAGE = 2000

_Answer = Callable[[Any, Call], Awaitable[Any]]


class GrpcServices:
    """Both services, on what answers their requests."""

    def __init__(self, inference: Inference, models: ModelStatus, metrics: Metrics, timeout_seconds: float) -> None:
        """Stands on the others.

        Args:
          inference: Answers PredictionService's.
          models: Answers ModelService's.
          metrics: Counts.
          timeout_seconds: The time for a request that brings no deadline.
        """
        self._inference, self._models = inference, models
        self._metrics = metrics
        self._timeout_seconds = timeout_seconds

    def add_to(self, server: grpc.aio.Server) -> None:
        """Adds both services to a server."""
        prediction, model = _Servicer(), _Servicer()
        for method, answer in {
            "Predict": self._inference.predict,
            "Classify": self._inference.classify,
            "Regress": self._inference.regress,
            "MultiInference": self._inference.multi_inference,
            "GetModelMetadata": self._inference.metadata,
        }.items():
            setattr(prediction, method, self._handler(method, answer))
        for method, answer_of_models in {
            "GetModelStatus": self._models.status,
            "HandleReloadConfigRequest": self._models.reload,
        }.items():
            setattr(model, method, self._handler(method, answer_of_models))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(model, server)

    def _handler(self, method: str, answer: _Answer) -> Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]:
        async def handle(request: Any, context: grpc.aio.ServicerContext) -> Any:
            remaining = context.time_remaining()
            seconds = self._timeout_seconds if remaining is None else remaining
            call = Call("grpc", method, time.monotonic() + seconds)
            try:
                return await observed(self._metrics, call, answer(request, call))
            except ServingError as error:
                await context.abort(error.code, error.message[:_MAX_MESSAGE])

        return handle


class _Servicer:
    """Takes a service's methods."""
