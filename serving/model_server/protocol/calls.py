"""A request in flight: its deadline and the version that answers it. Both protocols count their requests here."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Hashable
from typing import TypeVar

import grpc

from serving.model_server.engine.version import Version
from serving.model_server.errors import ServingError
from serving.model_server.logs import log
from serving.model_server.protocol.metrics import Metrics

_Response = TypeVar("_Response")


@dataclasses.dataclass
class Call:
    """A request in flight.

    Attributes:
      protocol: `grpc` or `rest`.
      method: A method of PredictionService or ModelService, such as `Predict`.
      deadline: On `time.monotonic`'s clock, when the caller stops waiting.
      caller: The client's end of the connection.
      version: The version that answers, once it is known.
      signature: The signature that answers, once it is known.
    """

    protocol: str
    method: str
    deadline: float
    caller: Hashable = None
    version: Version | None = None
    signature: str = ""


async def observed(metrics: Metrics, call: Call, response: Awaitable[_Response]) -> _Response:
    """Awaits a request's response, and counts it in the metrics.

    Raises:
      ServingError: If the request failed, for whatever reason.
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
