"""A request on its way: when it must be answered, and who answered it; both protocols count it here."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Hashable
from typing import TypeVar

import grpc

from serving.model_server.errors import ServingError
from serving.model_server.logs import log
from serving.model_server.metrics import Metrics
from serving.model_server.version import Version

_Response = TypeVar("_Response")


@dataclasses.dataclass
class Call:
    """A request.

    Attributes:
      protocol: `grpc` or `rest`.
      method: PredictionService's or ModelService's, such as `Predict`.
      deadline: On `time.monotonic`'s clock, when nobody waits any more.
      caller: The other end of its connection.
      version: What answers it, once that is known.
      signature: And its signature.
    """

    protocol: str
    method: str
    deadline: float
    caller: Hashable = None
    version: Version | None = None
    signature: str = ""


async def observed(metrics: Metrics, call: Call, response: Awaitable[_Response]) -> _Response:
    """Waits for a request's response and counts it.

    Raises:
      ServingError: If there is none, whatever the reason.
    """
    started = time.monotonic()
    code = grpc.StatusCode.OK
    try:
        return await response
    except ServingError as error:
        code = error.code
        raise
    except asyncio.CancelledError:
        code = grpc.StatusCode.CANCELLED
        raise
    except Exception as error:
        code = grpc.StatusCode.INTERNAL
        reason = f"{type(error).__name__}: {error}"
        log("error", "a request failed", protocol=call.protocol, method=call.method, reason=reason)
        raise ServingError(code, f"the model server failed: {type(error).__name__}") from error
    finally:
        model, number = (call.version.model, str(call.version.number)) if call.version else ("", "")
        metrics.count(call.protocol, call.method, model, number, call.signature, code, time.monotonic() - started)
