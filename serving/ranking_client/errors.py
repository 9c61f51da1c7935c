"""Errors for a request that was not answered."""

from __future__ import annotations

import grpc

from transform.errors import UserError

#: The longest part of a server's error message that is quoted.
_MAX_DETAILS = 300


class RankingError(UserError):
    """A request that was not answered: the gRPC status code, and the message, one sentence."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class RequestError(RankingError, ValueError):
    """A request that breaks a rule; nothing was sent for it."""

    def __init__(self, text: str) -> None:
        super().__init__(grpc.StatusCode.INVALID_ARGUMENT, text)


def server_error(code: grpc.StatusCode, details: str | None, server: str, seconds: float) -> RankingError:
    """Makes the error of a failed call.

    Args:
      code: The call's status code.
      details: The error message of the server, or of gRPC.
      server: The server's address.
      seconds: The budget of the whole request.
    """
    lines = (details or "").strip().splitlines()
    received = f"{code.name}: {lines[0][:_MAX_DETAILS]}" if lines else code.name
    rules = {
        grpc.StatusCode.DEADLINE_EXCEEDED: f"the model server must answer within {seconds:g} s",
        grpc.StatusCode.UNAVAILABLE: "the model server must be reachable",
        grpc.StatusCode.RESOURCE_EXHAUSTED: "the model server must have room for the request",
        grpc.StatusCode.CANCELLED: "the call must not be cancelled",
        grpc.StatusCode.NOT_FOUND: "the model server must have the model",
    }
    rule = rules.get(code, "the model server must accept the request")
    return RankingError(code, f"{rule}. Received: {received} ({server})")
