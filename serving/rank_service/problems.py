"""The sentences of refused requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from starlette.responses import JSONResponse

#: The HTTP status of each gRPC code. Any other code is a failure of the model server: 502.
STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
BAD_GATEWAY = 502

#: The most characters of a sentence, and of a caller's text in it.
_MAX_TEXT = 1_000
_MAX_QUOTED = 100

_A_FEATURE = "a feature must be a text, a number within float32's range, a list of either, or null"
#: The rules for the keys whose values may be of several types.
_UNIONS = {
    "context": _A_FEATURE,
    "features": _A_FEATURE,
    "candidates": 'a candidate must be an item id, or an object with "id" and "features"',
}


def problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Makes the answer to a refused request; a lone surrogate in it, which UTF-8 does not have, is shown escaped."""
    shown = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return JSONResponse({"error": shown[:_MAX_TEXT]}, status, headers)


def problem_of(error: Mapping[str, Any]) -> str:
    """The sentence of one of pydantic's errors; for a union, one rule in place of its message for a member."""
    parts = [str(part)[:_MAX_QUOTED] for part in error["loc"]]
    where, rule = ".".join(parts), error["msg"]
    for name, union in _UNIONS.items():
        if name in parts[:-1]:
            where, rule = ".".join(parts[: parts.index(name) + 2]), union
            break
    return f"{where}: {rule}. Received: {_quoted(error.get('input'))}"


def _quoted(value: Any) -> str:
    """A value's first characters; a long text or list is cut before it is written out."""
    if isinstance(value, str | list | tuple):
        value = value[:_MAX_QUOTED]
    return repr(value)[:_MAX_QUOTED]
