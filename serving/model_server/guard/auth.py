"""Authorizes requests by bearer token: callers may need one, and operators have tokens of their own."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from transform.errors import InputError

#: Services that need no token: whether the server is alive.
_OPEN_SERVICES = ("/grpc.health.v1.Health/",)

#: Methods only for operators, since they change which models are served to everyone.
_OPERATORS_METHODS = ("/tensorflow.serving.ModelService/HandleReloadConfigRequest",)

HEADER = "authorization"
UNAUTHENTICATED = "a request must have the header `authorization: Bearer TOKEN` with the server's token"
_PERMISSION_DENIED = (
    "HandleReloadConfigRequest must come with the operator's token, as `authorization: Bearer TOKEN`, or to a port "
    "that is bound to loopback"
)


class Access:
    """The tokens of callers and of operators. Without any, everyone is a caller and no one an operator."""

    def __init__(self) -> None:
        self._callers: Sequence[bytes] = ()
        self._operators: Sequence[bytes] = ()

    def set_callers_tokens(self, tokens: Sequence[str]) -> None:
        """Replaces the callers' tokens; raises InputError if one is an operator's."""
        self._callers = _distinct(tokens, self._operators)

    def set_operators_tokens(self, tokens: Sequence[str]) -> None:
        """Replaces the operators' tokens; raises InputError if one is a caller's."""
        self._operators = _distinct(tokens, self._callers)

    @property
    def asks_callers(self) -> bool:
        """Whether callers need a token."""
        return bool(self._callers)

    def is_operator(self, header: str | bytes | None) -> bool:
        """Whether a request's `authorization` header has an operator's token; takes the same time either way."""
        return _is_one_of(header, self._operators)

    def is_caller(self, header: str | bytes | None) -> bool:
        """Whether the header has a caller's or an operator's token, in the same way; true if callers need none."""
        return not self.asks_callers or _is_one_of(header, [*self._callers, *self._operators])


def _is_one_of(header: str | bytes | None, expected: Sequence[bytes]) -> bool:
    received = header.encode() if isinstance(header, str) else header or b""
    return sum(hmac.compare_digest(received, one) for one in expected) > 0


def _distinct(tokens: Sequence[str], others: Sequence[bytes]) -> Sequence[bytes]:
    expected = [f"Bearer {token}".encode() for token in tokens]
    if set(expected) & set(others):
        raise InputError("the operator's token must differ from the callers'. Received: the same token in both files")
    return expected


class AccessInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Refuses gRPC requests without the token that their method requires.

    Args:
      access: The tokens.
      trusts_all: Whether all callers of the port are operators, since only this machine can reach it.
      count_refusal: Counts a refused request, by the path of its method and the code.
    """

    def __init__(
        self, access: Access, trusts_all: bool, count_refusal: Callable[[str, grpc.StatusCode], object]
    ) -> None:
        self._access, self._trusts_all, self._count_refusal = access, trusts_all, count_refusal
        self._unauthenticated = _refusal(grpc.StatusCode.UNAUTHENTICATED, UNAUTHENTICATED)
        self._permission_denied = _refusal(grpc.StatusCode.PERMISSION_DENIED, _PERMISSION_DENIED)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Passes a call on, or refuses it."""
        header = dict(details.invocation_metadata).get(HEADER)
        if not details.method.startswith(_OPEN_SERVICES) and not self._access.is_caller(header):
            self._count_refusal(details.method, grpc.StatusCode.UNAUTHENTICATED)
            return self._unauthenticated
        if details.method in _OPERATORS_METHODS and not (self._trusts_all or self._access.is_operator(header)):
            self._count_refusal(details.method, grpc.StatusCode.PERMISSION_DENIED)
            return self._permission_denied
        return await continuation(details)


def _refusal(code: grpc.StatusCode, sentence: str) -> grpc.RpcMethodHandler:
    async def refuse(_: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(code, sentence)

    return grpc.stream_unary_rpc_method_handler(refuse)  # of a unary one, gRPC would read the message first


def is_loopback(host: str) -> bool:
    """Whether a port bound to this host, a name or an address, can be reached only from this machine."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:  # no such host, where nothing can listen; or no name, which means all addresses
        return False
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)
