"""Parses the bodies of requests: small ones in the event loop, large ones in a process of their own."""

from __future__ import annotations

import json
import time
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from serving.model_server.errors import ServingError
from serving.model_server.guard.parsing_process import ParsingProcess
from serving.rank_service.problems import BAD_GATEWAY, STATUSES, problem_of

#: A larger body is parsed in the other process; in this one it would block everything else for some milliseconds.
_LARGE_BODY_BYTES = 16 << 10

_Body = TypeVar("_Body", bound=BaseModel)


def parsed(content: bytes, kind: type[_Body]) -> _Body | tuple[int, str]:
    """Parses a JSON body; returns it, or the HTTP status and the sentence of its first mistake."""
    try:
        return kind.model_validate(json.loads(content), from_attributes=True)  # the options are FastAPI's own
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        return 422, problem_of({**first, "loc": ("body", *first["loc"])})
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError, too
        return 400, f"the body must be JSON: {error}"


def off_loop(kind: type[BaseModel], parsing: ParsingProcess, seconds: float) -> type[APIRoute]:
    """Makes a class of routes that parse large bodies in another process; FastAPI takes a parsed body as it is.

    Args:
      kind: What the body is.
      parsing: The process.
      seconds: The time in which a body must be parsed.
    """

    class Parsed(Request):
        async def json(self) -> Any:
            content = await self.body()
            if len(content) <= _LARGE_BODY_BYTES:
                found = parsed(content, kind)
            else:
                try:
                    found = await parsing.run(time.monotonic() + seconds, parsed, content, kind)
                except ServingError as error:
                    raise HTTPException(STATUSES.get(error.code, BAD_GATEWAY), error.message) from error
            if isinstance(found, tuple):
                raise HTTPException(*found)
            return found

    class Route(APIRoute):
        def get_route_handler(self) -> Any:
            handle = super().get_route_handler()

            async def handler(request: Request) -> Response:
                return await handle(Parsed(request.scope, request.receive))

            return handler

    return Route
