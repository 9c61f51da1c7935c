"""The playground of `wdr rank-service --ui`: a page on which to change a context and watch the order of the items."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import get_model_status_pb2, model_pb2, model_service_pb2_grpc

from serving.rank_service.bodies import FeatureValues, RankRequest, RankResponse
from serving.ranking_client import channel
from serving.ranking_client.aio_client import AsyncRankingClient
from serving.ranking_client.errors import RankingError, RequestError, server_error
from serving.ranking_client.features import Candidate, Features
from serving.ranking_client.protos import DT_FLOAT
from serving.ranking_client.settings import ClientSettings
from serving.ranking_client.signatures import ModelSignatures

#: Where the page is served.
PATH = "/ui"

#: The page's files, and no others, by name.
_FILES = {"playground.css": "text/css", "playground.js": "text/javascript"}
_FOLDER = Path(__file__).parent / "playground_page"

#: The page runs its own script and style alone, and calls its own service alone.
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}

_NUM_CONTEXTS = 20
_NUM_CANDIDATES = 200

#: For this many versions a client is kept; and this many rankings run at once.
_NUM_CLIENTS = 4
_NUM_CONCURRENT = 8


class VersionRequest(RankRequest):
    """A ranking by a given version."""

    version: int | None = Field(None, ge=1, lt=2**63, description="The model's version; null: the newest.")


class ContextFeature(BaseModel):
    """A context feature of the model."""

    name: str
    numeric: bool
    list: bool


class Start(BaseModel):
    """What the page needs to begin."""

    model: str
    versions: list[int] = Field(description="The versions that the server has loaded, newest first.")
    explains: bool = Field(description="Whether the newest version explains its scores.")
    features: list[ContextFeature]
    contexts: list[FeatureValues]
    candidates: list[str]


class Playground:
    """The page's state: a client for each version. An async context manager that closes them.

    Args:
      settings: The settings of the client that calls the model server.
      contexts: Contexts to choose from.
      candidates: The candidates to begin with; those with features of their own are left out.
      hosts: The names under which the page is opened, beside `localhost` and IP addresses.
    """

    def __init__(
        self,
        settings: ClientSettings,
        contexts: Sequence[Features | bytes],
        candidates: Sequence[Candidate],
        hosts: Sequence[str] = (),
    ) -> None:
        self._settings, self._contexts = settings, list(contexts[:_NUM_CONTEXTS])
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        self._candidates = [one for one in candidates if isinstance(one, str)][:_NUM_CANDIDATES]
        self._clients: dict[int | None, AsyncRankingClient] = {}
        self._free = asyncio.Semaphore(_NUM_CONCURRENT)

    async def __aenter__(self) -> Playground:
        self._channel = channel.open_channel(self._settings, grpc.aio)
        self._metadata = channel.CallMetadata(self._settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients.values():
            await client.close()
        await self._channel.close()

    async def check_host(self, request: Request) -> None:
        """Refuses a request whose Host is a name that is not the page's.

        Else another site could read the contexts in a user's browser: its own name can be made to lead to this service
        (DNS rebinding). It cannot do so with an IP address.
        """
        host = re.sub(r":\d+$", "", request.headers.get("host", "")).lower()
        if host in self._hosts or _is_address(host):
            return
        raise HTTPException(
            421, f"the page's host must be an IP address, or one of {sorted(self._hosts)}. Received: {host[:100]!r}"
        )

    async def start(self) -> Start:
        """Returns what the page needs to begin."""
        versions = await self._versions()
        signatures = await self._client(None).signatures()
        return Start(
            model=self._settings.model,
            versions=versions,
            explains="explain" in signatures.names,
            features=[
                ContextFeature(name=name, numeric=kind == DT_FLOAT, list=name in signatures.lists)
                for name, kind in sorted(signatures.context_kinds.items())
            ],
            contexts=[_as_json(context, signatures) for context in self._contexts],
            candidates=self._candidates,
        )

    async def rank(self, body: VersionRequest) -> RankResponse:
        """Ranks by the version that the request names, one of those that the server has loaded."""
        if self._free.locked():
            raise RankingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"at most {_NUM_CONCURRENT} rankings at once. Received: one more"
            )
        async with self._free:
            if body.version is not None and body.version not in self._clients:
                versions = await self._versions()
                if body.version not in versions:
                    raise RequestError(f"the version must be one of {versions}. Received: {body.version}")
                await self._forget_all_but(versions)
            ranking = await self._client(body.version).rank(
                body.context, body.pairs(), body.k, logits=body.logits, explain=body.explain
            )
            return RankResponse.of(ranking)

    def _client(self, version: int | None) -> AsyncRankingClient:
        if version not in self._clients:
            settings = self._settings
            if version is not None:
                settings = dataclasses.replace(settings, version=version, label=None)
            self._clients[version] = AsyncRankingClient(settings)
        return self._clients[version]

    async def _forget_all_but(self, versions: Sequence[int]) -> None:
        """Closes the clients of versions that the server has unloaded, and the oldest of too many."""
        numbers = [number for number in self._clients if number is not None]
        gone = [number for number in numbers if number not in versions]
        kept = [number for number in numbers if number in versions]
        for number in [*gone, *kept[: max(0, len(kept) - _NUM_CLIENTS + 1)]]:
            await self._clients.pop(number).close()

    async def _versions(self) -> list[int]:
        stub = model_service_pb2_grpc.ModelServiceStub(self._channel)
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name=self._settings.model))
        seconds = self._settings.deadline_seconds
        try:
            answer = await stub.GetModelStatus(request, timeout=seconds, metadata=self._metadata.now())
        except grpc.aio.AioRpcError as error:
            raise server_error(error.code(), error.details(), self._settings.server, seconds) from error
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        return sorted((one.version for one in answer.model_version_status if one.state == available), reverse=True)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _as_json(context: Features | bytes, signatures: ModelSignatures) -> dict[str, Any]:
    """A context as the body of /rank has it, with the features that the model knows."""
    if not isinstance(context, bytes):
        return {name: value for name, value in context.items() if name in signatures.context_kinds}
    found: dict[str, Any] = {}
    for name, feature in example_pb2.Example.FromString(context).features.feature.items():
        if name not in signatures.context_kinds:
            continue
        texts = [value.decode("utf-8", "replace") for value in feature.bytes_list.value]
        values: list[Any] = [*texts, *(float(f"{number:.7g}") for number in feature.float_list.value)]
        found[name] = values if name in signatures.lists else (values or [None])[0]
    return found


def add_playground(app: FastAPI, playground: Playground, ranking: type[APIRoute]) -> None:
    """Adds the page and its calls to the service's application; all check a request's Host.

    Args:
      app: The application.
      playground: The page's state, which the application's lifespan must open.
      ranking: The class of the route of rankings.
    """
    router = APIRouter(dependencies=[Depends(playground.check_host)])
    pages = {"": _without_slash, "/": _file("index.html", "text/html"), "/start": playground.start}
    pages |= {f"/{name}": _file(name, media_type) for name, media_type in _FILES.items()}
    for path, answer in pages.items():
        router.get(f"{PATH}{path}", include_in_schema=False)(answer)
    router.route_class = ranking
    router.post(f"{PATH}/rank", include_in_schema=False, response_model_exclude_none=True)(playground.rank)
    app.include_router(router)


async def _without_slash() -> RedirectResponse:
    return RedirectResponse(f"{PATH}/")


def _file(name: str, media_type: str) -> Callable[[], Awaitable[FileResponse]]:
    async def file() -> FileResponse:
        return FileResponse(_FOLDER / name, media_type=media_type, headers=_HEADERS)

    return file
