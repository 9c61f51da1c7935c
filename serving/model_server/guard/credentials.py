"""The server's tokens and TLS certificate, which can be replaced while the server runs."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from serving.credential_files import Contents, WatchedFiles, load_authority, load_pair, parse_tokens
from serving.model_server.guard import background
from serving.model_server.guard.auth import Access
from serving.model_server.logs import log
from transform.errors import UserError


class ServerCertificate:
    """The certificate and key of both protocols, and the authorities of client certificates if these are required.

    New connections use the newest certificate; existing connections keep theirs.

    Args:
      certificate: A PEM file of the certificate, with the intermediate certificates up to its authority's.
      key: A PEM file of its private key, not encrypted.
      client_ca: A PEM file of authorities: a client must have a certificate signed by one of them. None requires none.
    """

    def __init__(self, certificate: str, key: str, client_ca: str | None = None) -> None:
        self._pair, self._authorities = (certificate, key), (client_ca,) if client_ca else ()
        #: The context of REST's listener.
        self.context = _NewestContext(ssl.PROTOCOL_TLS_SERVER)
        self._grpc: grpc.ServerCertificateConfiguration | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files whose content `take` takes, in order."""
        return self._pair + self._authorities

    def take(self, contents: Contents) -> None:
        """Uses the files' content for new connections from now on; raises InputError if it cannot be used."""
        certificate, key, *client_ca = contents
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_pair(context, certificate, key, self._pair)
        for path, authority in zip(self._authorities, client_ca, strict=True):
            context.verify_mode = ssl.CERT_REQUIRED
            load_authority(context, authority, path)
        self.context.newest = context
        self._grpc = grpc.ssl_server_certificate_configuration([(key, certificate)], *client_ca)

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """The credentials of one gRPC port, which checks for a newer certificate at each new connection."""
        given = self._grpc

        def newer() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            if given is self._grpc:
                return None
            given = self._grpc
            return given

        return grpc.dynamic_ssl_server_credentials(given, newer, require_client_authentication=bool(self._authorities))


class _NewestContext(ssl.SSLContext):
    """Passes each connection to the newest context, since an asyncio listener keeps one context for all its life."""

    newest: ssl.SSLContext

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Called by asyncio for each connection."""
        return self.newest.wrap_bio(*args, **kwargs)


@dataclasses.dataclass(frozen=True)
class Credentials:
    """The server's tokens and TLS certificate.

    Attributes:
      access: The tokens.
      certificate: The TLS certificate of both protocols; None without TLS.
      files: The files of the tokens and of the certificate, which are read again when they change.
    """

    access: Access
    certificate: ServerCertificate | None
    files: Sequence[WatchedFiles]

    async def watch(self, seconds: float) -> None:
        """Checks the files periodically, each group in a thread of its own, until cancelled."""

        async def watch(files: WatchedFiles) -> None:
            while True:
                await asyncio.sleep(seconds)
                await background.start(files.check, behind_requests=True)

        await asyncio.gather(*map(watch, self.files))  # a read that hangs does not delay the other files


def read_credentials(token_file: str | None, operator_token_file: str | None, tls_files: Sequence[str]) -> Credentials:
    """Reads the server's credentials.

    Args:
      token_file: The callers' tokens; None if callers need none.
      operator_token_file: The operators' tokens; None if there are none.
      tls_files: The files of `ServerCertificate`; empty without TLS.

    Raises:
      UserError: If a file cannot be used.
    """
    access, certificate, files = Access(), None, []
    try:
        if token_file:
            files.append(_token("the callers' token", token_file, access.set_callers_tokens))
        if operator_token_file:
            files.append(_token("the operator's token", operator_token_file, access.set_operators_tokens))
        if tls_files:
            certificate = ServerCertificate(*tls_files)
            files.append(WatchedFiles("the certificate", certificate.paths, certificate.take, _report))
    except OSError as error:
        raise UserError(f"a file of a token or a certificate must be readable. Received: {error}") from error
    return Credentials(access, certificate, files)


def _token(what: str, path: str, use: Callable[[Sequence[str]], None]) -> WatchedFiles:
    def take(contents: Contents) -> None:
        (content,) = contents
        use(parse_tokens(content, path))

    return WatchedFiles(what, (path,), take, _report)


def _report(level: str, message: str, reason: str | None) -> None:
    log(level, message, **({"reason": reason} if reason else {}))
