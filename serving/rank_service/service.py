"""The HTTP service `/rank`, for stores that do not use gRPC: `wdr rank-service`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import prometheus_client
import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from serving.model_server.guard.http_connection import bounded_protocol
from serving.model_server.guard.parsing_process import ParsingProcess
from serving.rank_service import bodies, event_bodies
from serving.rank_service.bodies import Health, Problem, RankRequest, RankResponse
from serving.rank_service.counters import CountedRequests, RankingCounters
from serving.rank_service.event_bodies import EventsRequest, PostedEvents
from serving.rank_service.limits import BodyLimit
from serving.rank_service.parsing import off_loop
from serving.rank_service.playground import Playground, VersionRequest, add_playground
from serving.rank_service.problems import BAD_GATEWAY, STATUSES, problem, problem_of
from serving.ranking_client.aio_client import AsyncRankingClient
from serving.ranking_client.errors import RankingError
from serving.ranking_client.settings import ClientSettings
from serving.serving_log.event_log import EventLog
from serving.serving_log.exploration import Exploration
from serving.serving_log.log import ServingLog

_SENTENCES = {
    400: "The body is not JSON, or the model rejects the request.",
    404: "The model server does not have the model.",
    408: "The body did not come in time.",
    413: "The body is too long.",
    422: "The body is not as the schema says.",
    429: "The model server, or this service, is overloaded.",
    502: "The model server failed.",
    503: "The model server cannot be reached.",
    504: "The model server did not answer in time, or a large body was not parsed in time.",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text} for status, text in _SENTENCES.items()
}

#: The most connections at once; a further one ends the one that has waited longest for its client.
_MAX_CONNECTIONS = 1_000

#: The most large bodies that wait to be parsed.
_MAX_WAITING_BODIES = 64

#: The paths that are counted by name.
_PATHS = ("/rank", "/v1/events", "/health/live", "/health/ready", "/metrics", "/ui/", "/ui/start", "/ui/rank")


def make_app(
    settings: ClientSettings,
    max_body_bytes: int,
    max_concurrent: int,
    timeout_seconds: float,
    playground: Playground | None = None,
    log: ServingLog | None = None,
    event_log: EventLog | None = None,
    exploration: Exploration | None = None,
) -> FastAPI:
    """Makes the service's application.

    Args:
      settings: The settings of the client that calls the model server.
      max_body_bytes: The longest request body; a longer one is refused.
      max_concurrent: The most rankings at once; further ones are refused.
      timeout_seconds: The time within which a request's body must be whole.
      playground: The page at `/ui`; None serves none. Its rankings are not logged.
      log: Has a record of each answered request, and is closed with the service; None logs nothing.
      event_log: Has the events that are posted to `/v1/events`, and is closed with the service; None takes none.
      exploration: Moves items of rankings at `/rank` by chance, which needs a log; None ranks by score alone.

    Returns:
      The ASGI application, with its OpenAPI page at `/docs`, which needs no network.
    """
    counters = RankingCounters(log)
    parsing = ParsingProcess(
        _MAX_WAITING_BODIES, timeout_seconds, max_body_bytes, [bodies.__name__, event_bodies.__name__]
    )
    answers = _Answers(settings, max_concurrent, counters, parsing, playground, log, exploration)
    app = FastAPIOffline(
        title="wide-deep-ranker: ranking",
        version="1",
        lifespan=answers.lifespan,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would have the Host that the caller names
        swagger_ui_parameters={"validatorUrl": None},  # else the page sends its address to a public validator
    )
    app.add_middleware(BodyLimit, max_bytes=max_body_bytes, seconds=timeout_seconds)
    ranking = APIRouter(route_class=off_loop(RankRequest, parsing, timeout_seconds))
    ranking.post("/rank", responses=_PROBLEMS, response_model_exclude_none=True)(answers.rank)
    app.include_router(ranking)
    if event_log is not None:
        posting = APIRouter(route_class=off_loop(EventsRequest, parsing, timeout_seconds))
        of_events: dict[int | str, dict[str, Any]] = {
            status: _PROBLEMS[status] for status in (400, 408, 413, 422, 429, 504)
        }
        posting.post("/v1/events", responses=of_events, status_code=202)(PostedEvents(event_log).post)
        app.include_router(posting)
        answers.closes(event_log)
    app.get("/health/live", response_model_exclude_none=True)(answers.live)
    app.get("/health/ready", responses={k: v for k, v in _PROBLEMS.items() if k in (404, 502, 503, 504)})(answers.ready)
    app.get("/metrics", include_in_schema=False)(answers.metrics)
    if playground is not None:
        add_playground(app, playground, off_loop(VersionRequest, parsing, timeout_seconds))
    app.add_middleware(CountedRequests, counters=counters, paths=_PATHS)
    app.add_exception_handler(RankingError, _ranking_error)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http_error)
    return app


class _Answers:
    """The service's answers; its OpenAPI page shows the first line of each method.

    Args:
      settings: The settings of the client that calls the model server.
      max_concurrent: The most rankings at once.
      counters: Counts what does not fail a ranking.
      parsing: The process of large bodies, which ends with the service.
      playground: The page at `/ui`, whose state is closed with the service; None for none.
      log: The serving log, closed with the service; None for none.
      exploration: Moves items by chance; None for none.
    """

    def __init__(
        self,
        settings: ClientSettings,
        max_concurrent: int,
        counters: RankingCounters,
        parsing: ParsingProcess,
        playground: Playground | None,
        log: ServingLog | None,
        exploration: Exploration | None,
    ) -> None:
        self._exploration = exploration
        self._settings, self._max_concurrent, self._playground, self._log = settings, max_concurrent, playground, log
        self._free, self._counters, self._parsing = asyncio.Semaphore(max_concurrent), counters, parsing
        self._event_log: EventLog | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Keeps the client, and the page's state, open while the service runs."""
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._parsing.close)
            if self._log is not None:
                stack.push_async_callback(asyncio.to_thread, self._log.close)
            if self._event_log is not None:
                stack.push_async_callback(asyncio.to_thread, self._event_log.close)
            self._parsing.start()
            self._client = await stack.enter_async_context(
                AsyncRankingClient(self._settings, self._log, self._exploration)
            )
            if self._playground is not None:
                await stack.enter_async_context(self._playground)
            yield

    def closes(self, event_log: EventLog) -> None:
        """Has the log of events closed with the service."""
        self._event_log = event_log

    async def rank(self, body: RankRequest) -> RankResponse:
        """Ranks one request's candidates."""
        if self._free.locked():
            most = self._max_concurrent
            raise RankingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"at most {most} rankings at once. Received: one more"
            )
        async with self._free:
            ranking = await self._client.rank(
                body.context, body.pairs(), body.k, logits=body.logits, explain=body.explain, user=body.user
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


def _ranking_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RankingError)
    return problem(STATUSES.get(error.code, BAD_GATEWAY), str(error))


def _not_valid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return problem(422, problem_of(error.errors()[0]))


def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, error.headers)


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
        http=bounded_protocol(timeout_seconds, _MAX_CONNECTIONS),
        access_log=False,
        timeout_graceful_shutdown=10,
    )
