"""TF Serving's gRPC services: PredictionService and ModelService."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2

from serving.model_server.errors import ServingError, invalid
from serving.model_server.guard.last_calls import LastCalls
from serving.model_server.guard.parsing_process import ParsingProcess
from serving.model_server.guard.parsing_turns import ParsingTurns
from serving.model_server.guard.unread_messages import UnreadMessages
from serving.model_server.guard.wire import LARGE_BYTES, Counted, excess_of_parts
from serving.model_server.protocol.calls import Call, Metrics, observed
from serving.model_server.protocol.inference import Inference
from serving.model_server.protocol.model_service import ModelStatus
from serving.model_server.protocol.services import METHODS, PACKAGE

#: The most characters of an error message: gRPC sends it in HTTP/2 trailers, which have at most 8 kB in all.
_MAX_MESSAGE = 2000

_Answer = Callable[[Any, Call], Awaitable[Any]]


class GrpcServices:
    """Both gRPC services, on top of the objects that answer their requests.

    Attributes:
      last_calls: The calls that arrive while the server is about to stop.
    """

    def __init__(
        self,
        inference: Inference,
        models: ModelStatus,
        metrics: Metrics,
        timeout_seconds: float,
        parsing: ParsingProcess,
    ) -> None:
        """Makes the services.

        Args:
          inference: Answers PredictionService's requests.
          models: Answers ModelService's requests.
          metrics: Counts requests.
          parsing: Counts the parts of large messages.
          timeout_seconds: The time for a message to arrive, and the deadline of a request that brings none.
        """
        self._metrics = metrics
        self._max_examples = inference.limits.max_strings
        self._timeout_seconds = timeout_seconds
        self._turns = ParsingTurns()
        self._unread = UnreadMessages(timeout_seconds)
        self._parsing = parsing
        self.last_calls = LastCalls()
        self._answers: dict[str, _Answer] = {
            "Predict": inference.predict,
            "Classify": inference.classify,
            "Regress": inference.regress,
            "MultiInference": inference.multi_inference,
            "GetModelMetadata": inference.metadata,
            "GetModelStatus": models.status,
            "HandleReloadConfigRequest": models.reload,
        }

    def add_to(self, server: grpc.aio.Server, services: Iterable[str]) -> None:
        """Adds services, by their names in `METHODS`, to a server."""
        for service in services:
            handlers = {name: self._handler(name, request) for name, (request, _) in METHODS[service].items()}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"{PACKAGE}.{service}", handlers),))

    def count_refusal(self, path: str, code: grpc.StatusCode) -> None:
        """Counts a request that is refused before it is read, without a time; `path` is what it has for a method."""
        method = path.rpartition("/")[2]
        self._metrics.count("grpc", method if method in self._answers else "", "", "", "", code, None)

    def add_health_to(self, server: grpc.aio.Server, alive: health.aio.HealthServicer) -> None:
        """Adds the health service to a server; its messages are bounded as those of the other services."""

        async def check(_: Any, context: grpc.aio.ServicerContext) -> Any:
            return await alive.Check(await self._unread.read(context), context)

        async def watch(_: Any, context: grpc.aio.ServicerContext) -> None:
            await alive.Watch(await self._unread.read(context), context)

        forms = health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
        handlers = {
            "Check": grpc.stream_unary_rpc_method_handler(check, *forms),
            "Watch": grpc.stream_stream_rpc_method_handler(watch, *forms),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(health.SERVICE_NAME, handlers),))

    def _handler(self, method: str, request_type: type[Message]) -> grpc.RpcMethodHandler:
        name = request_type.DESCRIPTOR.name
        counted = Counted.TENSORS if method == "Predict" else Counted.NOTHING
        if "input" in request_type.DESCRIPTOR.fields_by_name:
            counted = Counted.EXAMPLES

        async def excess_of(serialized: bytes, call: Call) -> str:
            if len(serialized) <= LARGE_BYTES:
                return excess_of_parts(serialized, counted, self._max_examples)
            return await self._parsing.run(call.deadline, excess_of_parts, serialized, counted, self._max_examples)

        async def answer(serialized: bytes, call: Call) -> Any:
            if excess := await excess_of(serialized, call):
                raise invalid(f"a {name} must have {excess}")
            async with self._turns.turn(len(serialized)):
                try:
                    request = request_type.FromString(serialized)
                except DecodeError as error:
                    raise ServingError(grpc.StatusCode.INTERNAL, f"a request must be a serialized {name}") from error
            return await self._answers[method](request, call)

        async def handle(_: Any, context: grpc.aio.ServicerContext) -> Any:
            self.last_calls.add()
            try:
                serialized = await self._unread.read(context)
            except grpc.aio.AbortError:
                self.count_refusal(method, context.code())
                raise
            remaining = context.time_remaining()
            seconds = self._timeout_seconds if remaining is None else remaining
            call = Call("grpc", method, time.monotonic() + seconds, context.peer())
            try:
                response = (await observed(self._metrics, call, answer(serialized, call))).SerializeToString()
                await self.last_calls.sends()
                return response
            except ServingError as error:
                await self.last_calls.sends()
                await context.abort(error.code, error.message[:_MAX_MESSAGE])

        return grpc.stream_unary_rpc_method_handler(handle)
