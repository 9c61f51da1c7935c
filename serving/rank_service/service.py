"""The HTTP service `/rank`, for stores that do not use gRPC: `wdr rank-service`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import prometheus_client
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from serving.model_server.guard.http_connection import bounded_protocol
from serving.rank_service.bodies import Health, Problem, RankRequest, RankResponse
from serving.rank_service.limits import BodyLimit
from serving.rank_service.playground import Playground, add_playground
from serving.ranking_client.aio_client import AsyncRankingClient
from serving.ranking_client.errors import RankingError
from serving.ranking_client.ranked import Ranking
from serving.ranking_client.settings import ClientSettings

#: The HTTP status of each gRPC code. Any other code is a failure of the model server: 502.
STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_BAD_GATEWAY = 502

_SENTENCES = {
    400: "The body is not JSON, or the model rejects the request.",
    404: "The model server does not have the model.",
    408: "The body did not come in time.",
    413: "The body is too long.",
    422: "The body is not as the schema says.",
    429: "The model server, or this service, is overloaded.",
    502: "The model server failed.",
    503: "The model server cannot be reached.",
    504: "The model server did not answer in time.",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text} for status, text in _SENTENCES.items()
}

_A_FEATURE = "a feature must be a text, a number within float32's range, a list of either, or null"
#: The rules for the keys whose values may be of several types.
_UNIONS = {
    "context": _A_FEATURE,
    "features": _A_FEATURE,
    "candidates": 'a candidate must be an item id, or an object with "id" and "features"',
}

#: The most connections at once; a further one is answered 503.
_MAX_CONNECTIONS = 1_000


class RankingCounters:
    """Counts what does not fail a request: rankings with warnings, and items that the model's catalog lacks."""

    def __init__(self) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        self._warned = prometheus_client.Counter(
            "wdr_rankings_with_warnings",
            "Rankings of a context that the model ignores in part.",
            registry=self._registry,
        )
        self._unknown = prometheus_client.Counter(
            "wdr_ranked_items_not_in_catalog", "Ranked items that the model's catalog lacks.", registry=self._registry
        )

    def count(self, ranking: Ranking) -> None:
        """Counts a ranking's warnings and its items that are not in the catalog."""
        self._warned.inc(bool(ranking.warnings))
        self._unknown.inc(sum(item.in_catalog is False for item in ranking.items))

    def page(self) -> bytes:
        """The counters in Prometheus's text format."""
        return prometheus_client.generate_latest(self._registry)


def make_app(
    settings: ClientSettings,
    max_body_bytes: int,
    max_concurrent: int,
    timeout_seconds: float,
    playground: Playground | None = None,
) -> FastAPI:
    """Makes the service's application.

    Args:
      settings: The settings of the client that calls the model server.
      max_body_bytes: The longest request body; a longer one is refused.
      max_concurrent: The most rankings at once; further ones are refused.
      timeout_seconds: The time within which a request's body must be whole.
      playground: The page at `/ui`; None serves none.

    Returns:
      The ASGI application, with its OpenAPI page at `/docs`, which needs no network.
    """
    answers = _Answers(settings, max_concurrent, playground)
    app = FastAPIOffline(
        title="wide-deep-ranker: ranking",
        version="1",
        lifespan=answers.lifespan,
        redoc_url=None,
        swagger_ui_parameters={"validatorUrl": None},  # else the page sends its address to a public validator
    )
    app.add_middleware(BodyLimit, max_bytes=max_body_bytes, seconds=timeout_seconds)
    app.post("/rank", responses=_PROBLEMS, response_model_exclude_none=True)(answers.rank)
    app.get("/health/live", response_model_exclude_none=True)(answers.live)
    app.get("/health/ready", responses={k: v for k, v in _PROBLEMS.items() if k in (404, 502, 503, 504)})(answers.ready)
    app.get("/metrics", include_in_schema=False)(answers.metrics)
    if playground is not None:
        add_playground(app, playground)
    app.add_exception_handler(RankingError, _ranking_error)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http_error)
    return app


class _Answers:
    """The service's answers; its OpenAPI page shows the first line of each method.

    Args:
      settings: The settings of the client that calls the model server.
      max_concurrent: The most rankings at once.
      playground: The page at `/ui`, whose state is closed with the service; None for none.
    """

    def __init__(self, settings: ClientSettings, max_concurrent: int, playground: Playground | None) -> None:
        self._settings, self._max_concurrent, self._playground = settings, max_concurrent, playground
        self._free, self._counters = asyncio.Semaphore(max_concurrent), RankingCounters()

    @contextlib.asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Keeps the client, and the page's state, open while the service runs."""
        async with contextlib.AsyncExitStack() as stack:
            self._client = await stack.enter_async_context(AsyncRankingClient(self._settings))
            if self._playground is not None:
                await stack.enter_async_context(self._playground)
            yield

    async def rank(self, body: RankRequest) -> RankResponse:
        """Ranks one request's candidates."""
        if self._free.locked():
            most = self._max_concurrent
            raise RankingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"at most {most} rankings at once. Received: one more"
            )
        async with self._free:
            ranking = await self._client.rank(
                body.context, body.pairs(), body.k, logits=body.logits, explain=body.explain
            )
            self._counters.count(ranking)
            return RankResponse.of(ranking)

    async def live(self) -> Health:
        """Whether the service runs."""
        return Health(status="live")

    async def ready(self) -> Health:
        """Whether the model server answers for the model."""
        return Health(status="ready", version=(await self._client.signatures()).version)

    async def metrics(self) -> Response:
        """The counters, in Prometheus's text format."""
        return Response(self._counters.page(), media_type=prometheus_client.CONTENT_TYPE_LATEST)


def _problem(status: int, text: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": text}, status, headers)


def _ranking_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RankingError)
    return _problem(STATUSES.get(error.code, _BAD_GATEWAY), str(error))


def _not_valid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _problem(400, f"the body must be JSON: {first['ctx']['error']}")
    where, rule = _place(first["loc"], first["msg"])
    return _problem(422, f"{where}: {rule}. Received: {repr(first.get('input'))[:100]}")


def _place(location: tuple[int | str, ...], message: str) -> tuple[str, str]:
    """The location of a mistake and its rule; for a union, one rule in place of pydantic's message for a member."""
    parts = [str(part) for part in location]
    for name, rule in _UNIONS.items():
        if name in parts[:-1]:
            return ".".join(parts[: parts.index(name) + 2]), rule
    return ".".join(parts), message


def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, error.detail, error.headers)


def serve(app: FastAPI, host: str, port: int, timeout_seconds: float) -> None:
    """Serves until it is interrupted; requests in flight are answered first.

    Args:
      app: The application.
      host: The address to listen at.
      port: The port to listen at.
      timeout_seconds: The time within which the next request's head must arrive; else its connection is closed.
    """
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=bounded_protocol(timeout_seconds),
        access_log=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_graceful_shutdown=10,
    )
