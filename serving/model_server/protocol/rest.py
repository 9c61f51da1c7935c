"""TF Serving's REST API, with `/metrics`, `/healthz` and `/readyz` beside it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import time
import urllib.parse
import zlib
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar, TypeVarTuple

import grpc
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from serving.model_server.engine.signatures import Signature
from serving.model_server.engine.tensors import Limits
from serving.model_server.errors import ServingError, invalid
from serving.model_server.guard import auth
from serving.model_server.guard.parsing_process import ParsingProcess
from serving.model_server.guard.unfinished_bodies import UnfinishedBodies, UnfinishedBody
from serving.model_server.protocol import json_requests, json_responses
from serving.model_server.protocol.calls import Call, Metrics, observed
from serving.model_server.protocol.inference import SIGNATURE_DEF, Inference
from serving.model_server.protocol.model_service import ModelStatus

_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICTION = re.compile(rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<verb>classify|regress|predict)", re.IGNORECASE)
_STATUS = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?P<metadata>/metadata)?", re.IGNORECASE)

_MAX_INT64 = (1 << 63) - 1

#: The HTTP status of each gRPC code, as in TF Serving.
_HTTP_CODES = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}

#: A larger body is parsed in the other process; in this one it would block everything else for more than about 5 ms.
_LARGE_BODY_BYTES = 16 << 10

#: A larger answer is formatted there, too: 64 kB of floats take about 15 ms, as many bytes of classes 30 ms.
_LARGE_ANSWER_BYTES = 64 << 10

#: Unfinished bodies may take as many bytes as this many bodies of the largest size.
_MAX_BODIES = 16

_Parsed = TypeVar("_Parsed")
_Others = TypeVarTuple("_Others")


@dataclasses.dataclass
class _Body:
    """A whole body, its content encoding, and its entry among the bodies that are not parsed yet."""

    content: bytes
    encoding: str
    unfinished: UnfinishedBody

    def release(self) -> None:
        """Frees the body and stops counting it as unfinished, once it is parsed or refused."""
        self.content = b""
        self.unfinished.release()


_JSON = "application/json"
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Rest:
    """The REST application, on top of the objects that answer its requests."""

    def __init__(
        self,
        inference: Inference,
        models: ModelStatus,
        metrics: Metrics,
        parsing: ParsingProcess,
        access: auth.Access,
        max_body_bytes: int,
        timeout_seconds: float,
        prometheus_path: str | None = None,
    ) -> None:
        """Makes the application.

        Args:
          inference: Answers predictions and metadata requests.
          models: Answers status requests.
          metrics: Counts requests.
          parsing: Parses large bodies.
          access: Authorizes requests, except for those about health.
          max_body_bytes: The largest body of a request.
          timeout_seconds: The time for a body to arrive, and again for its answer.
          prometheus_path: A path that has the metrics beside `/metrics`; None for no other path.
        """
        self._inference, self._models, self._metrics = inference, models, metrics
        self._access = access
        self._prometheus_path = prometheus_path
        self._max_body_bytes = max_body_bytes
        self._timeout_seconds = timeout_seconds
        self._parsing = parsing
        self._unfinished = UnfinishedBodies(_MAX_BODIES * max_body_bytes)
        self._of_examples: dict[str, tuple[type[Any], Callable[..., Awaitable[Any]], Callable[..., str]]] = {
            "Classify": (ClassificationRequest, inference.classify, json_responses.classifications),
            "Regress": (RegressionRequest, inference.regress, json_responses.regressions),
        }
        self.app = Starlette(
            routes=[
                Route("/healthz", self._alive, methods=["GET"]),
                Route("/readyz", self._ready, methods=["GET"]),
                Route("/readyz/{model}", self._model_ready, methods=["GET"]),
                Route("/metrics", self._guarded(self._page), methods=["GET"]),
                Route("/{path:path}", self._guarded(self._v1), methods=["GET", "POST"]),
            ],
            exception_handlers={404: _no_page, 405: _no_page},
        )

    def _guarded(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            if not self._access.is_caller(request.headers.get(auth.HEADER)):
                self._count_refusal(request, grpc.StatusCode.UNAUTHENTICATED)
                return _refused(ServingError(grpc.StatusCode.UNAUTHENTICATED, auth.UNAUTHENTICATED))
            return await answer(request)

        return guarded

    async def _alive(self, request: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def _ready(self, request: Request) -> Response:
        if self._inference.served.ready:
            return Response("ok\n", media_type="text/plain")
        return Response("a model has no version that answers yet\n", 503, media_type="text/plain")

    async def _model_ready(self, request: Request) -> Response:
        if self._inference.served.latest(request.path_params["model"]):
            return Response("ok\n", media_type="text/plain")
        return Response("the model has no version that answers\n", 503, media_type="text/plain")

    async def _page(self, request: Request) -> Response:
        return Response(self._metrics.page(), media_type=_PROMETHEUS)

    async def _v1(self, request: Request) -> Response:
        path = _path(request)
        if request.method == "GET" and path == self._prometheus_path:
            return await self._page(request)
        try:
            if request.method == "POST" and (found := _PREDICTION.fullmatch(path)):
                with self._unfinished.one(limit := asyncio.timeout(self._timeout_seconds)) as unfinished:
                    with self._refusals_counted(request):
                        body = await self._body(request, unfinished, limit)
                        spec = _spec(found)
                    return await self._predict(spec, found["verb"].capitalize(), body, request.client)
            if request.method == "GET" and (found := _STATUS.fullmatch(path)):
                with self._refusals_counted(request):
                    spec = _spec(found)
                    if not spec.name:
                        raise invalid("Missing model name in request.")
                return await self._about(spec, bool(found["metadata"]))
            if not path.lower().startswith("/v1/"):
                return _no_page(request, None)
            with self._refusals_counted(request):
                raise invalid(f"Malformed request: {request.method} {path[:200]}")
        except ServingError as error:
            return _refused(error)

    @contextlib.contextmanager
    def _refusals_counted(self, request: Request) -> Iterator[None]:
        """Counts a request that is refused within the block, which is before it is `observed`."""
        try:
            yield
        except ServingError as error:
            self._count_refusal(request, error.code)
            raise

    def _count_refusal(self, request: Request, code: grpc.StatusCode) -> None:
        """Counts a refused request, without a time: it may have waited for its client only."""
        method = model = ""
        path = _path(request)
        if found := _PREDICTION.fullmatch(path):
            method = found["verb"].capitalize()
        elif found := _STATUS.fullmatch(path):
            method = "GetModelMetadata" if found["metadata"] else "GetModelStatus"
        if found and found["name"]:
            model = self._inference.served.counted_name(found["name"])
        self._metrics.count("rest", method, model, "", "", code, None)

    async def _predict(self, spec: model_pb2.ModelSpec, method: str, body: _Body, caller: Hashable) -> Response:
        call = Call("rest", method, time.monotonic() + self._timeout_seconds, caller)
        answer = self._predictions if method == "Predict" else self._results
        return Response(await observed(self._metrics, call, answer(spec, body, call)), media_type=_JSON)

    async def _predictions(self, spec: model_pb2.ModelSpec, body: _Body, call: Call) -> str:
        signatures = {name: signature.definition for name, signature in self._signatures(spec, call).items()}
        request, by_row = await self._parsed(body, call, json_requests.predict_request, signatures)
        request.model_spec.MergeFrom(spec)
        response = await self._inference.predict(request, call)
        return await self._formatted(call, json_responses.predictions, response, by_row)

    async def _results(self, spec: model_pb2.ModelSpec, body: _Body, call: Call) -> str:
        """The answer to Classify or Regress."""
        request_type, infer, to_json = self._of_examples[call.method]
        floats = {name: signature.float_features for name, signature in self._signatures(spec, call).items()}
        request = await self._parsed(body, call, json_requests.examples_request, request_type, floats)
        request.model_spec.MergeFrom(spec)
        return await self._formatted(call, to_json, (await infer(request, call)).result)

    async def _formatted(self, call: Call, to_json: Callable[..., str], answer: Any, *others: object) -> str:
        if answer.ByteSize() <= _LARGE_ANSWER_BYTES:
            return to_json(answer, *others)
        return await self._parsing.run(call.deadline, to_json, answer, *others)

    def _signatures(self, spec: model_pb2.ModelSpec, call: Call) -> Mapping[str, Signature]:
        """The signatures of the version that a request asks for; if it does not exist, the body is not parsed."""
        with self._inference.resolve(spec, call).used() as servable:
            return servable.signatures

    async def _parsed(
        self, body: _Body, call: Call, parse: Callable[[bytes, Limits, *_Others], _Parsed], *others: *_Others
    ) -> _Parsed:
        """Parses a body with a function of `json_requests`; until then, the body counts as unfinished."""
        limits = self._inference.limits
        try:
            content = await self._decoded(body, call)
            if len(content) <= _LARGE_BODY_BYTES:
                return parse(content, limits, *others)
            return await self._parsing.run(call.deadline, parse, content, limits, *others)
        finally:
            body.release()

    async def _decoded(self, body: _Body, call: Call) -> bytes:
        """Removes a body's content encoding, none or gzip.

        Raises:
          ServingError: If the encoding is another one, the body is not valid gzip or is too large without it, or the
            deadline passes.
        """
        if body.encoding.lower() in ("", "identity"):
            return body.content
        if body.encoding.lower() not in ("gzip", "x-gzip"):
            raise invalid(f"Content-Encoding must be gzip. Received: {body.encoding[:100]}")
        try:
            async with asyncio.timeout(call.deadline - time.monotonic()):
                found = await asyncio.to_thread(_gunzipped, body.content, self._max_body_bytes)
        except (zlib.error, EOFError) as error:
            raise invalid(f"a body with Content-Encoding gzip must be of gzip. Received: {error}") from error
        except TimeoutError as error:
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "a request's body was not decoded in time") from error
        if len(found) > self._max_body_bytes:
            raise _too_large(self._max_body_bytes)
        body.unfinished.add(len(found))
        if self._unfinished.exceeded:
            raise self._too_many_bytes()
        return found

    def _too_many_bytes(self) -> ServingError:
        return ServingError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"unfinished bodies of {self._unfinished.max_bytes} bytes are there already; try again later",
        )

    async def _about(self, spec: model_pb2.ModelSpec, metadata: bool) -> Response:
        call = Call("rest", "GetModelMetadata" if metadata else "GetModelStatus", time.monotonic())
        if metadata:
            requested = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURE_DEF])
            text = json_responses.metadata(
                await observed(self._metrics, call, self._inference.metadata(requested, call))
            )
        else:
            request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
            text = json_responses.status(await observed(self._metrics, call, self._models.status(request, call)))
        return Response(text, media_type=_JSON)

    async def _body(self, request: Request, unfinished: UnfinishedBody, limit: asyncio.Timeout) -> _Body:
        """Reads a request's body; raises ServingError if it is too large, late, or not complete."""
        parts: list[bytes] = []
        try:
            async with limit:
                async for part in request.stream():
                    unfinished.add(len(part))
                    if unfinished.size > self._max_body_bytes:
                        raise _too_large(self._max_body_bytes)
                    parts.append(part)
        except TimeoutError as error:
            if unfinished.dropped:
                raise self._too_many_bytes() from error
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"a request's body must come within {self._timeout_seconds:g} seconds",
            ) from error
        except ClientDisconnect as error:
            raise ServingError(grpc.StatusCode.CANCELLED, "the client has gone") from error
        unfinished.finish()
        return _Body(b"".join(parts), request.headers.get("content-encoding", ""), unfinished)


def _gunzipped(body: bytes, max_bytes: int) -> bytes:
    """Decompresses a gzip file of one member, up to one byte more than is allowed."""
    member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # 16: with gzip's header and trailer
    found = member.decompress(body, max_bytes + 1)
    if len(found) <= max_bytes and not member.eof:
        raise EOFError("it ends too early")
    if member.unused_data:
        raise EOFError("bytes behind its end")
    return found


def _too_large(max_bytes: int) -> ServingError:
    return ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"a request's body must have at most {max_bytes} bytes")


def _path(request: Request) -> str:
    path: bytes = request.scope["raw_path"]
    return path.decode("ascii", "replace")


def _spec(found: re.Match[str]) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=_decoded(found["name"] or "", "model name"))
    if found["version"]:
        number = int(found["version"].lstrip("0")[:20] or "0")
        if number > _MAX_INT64:
            raise invalid(f"Failed to convert version: {found['version'][:40]} to numeric.")
        spec.version.value = number
    elif found["label"]:
        spec.version_label = _decoded(found["label"], "model version label")
    return spec


def _decoded(text: str, what: str) -> str:
    try:
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise invalid(f"Failed to decode {what}:{text[:200]}") from error


def _refused(error: ServingError) -> Response:
    code = _HTTP_CODES.get(error.code, 500)
    return Response(json_responses.error(error.message), code, media_type=_JSON)


def _no_page(request: Request, error: Exception | None) -> Response:
    code = getattr(error, "status_code", 404)
    return Response(
        json_responses.error(f"there is no {request.method} {request.url.path[:200]}"), code, media_type=_JSON
    )
