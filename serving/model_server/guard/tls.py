"""The server's TLS certificate, which can be replaced while the server runs."""

from __future__ import annotations

import ssl
from typing import Any

import grpc

from serving.pem import load_authority, load_pair
from serving.watched_files import Contents


class ServerCertificate:
    """The certificate and key of both protocols, and the authorities of client certificates if these are required.

    New connections use the newest certificate; existing connections keep theirs.

    Args:
      certificate: A PEM file of the certificate, with the intermediate certificates up to its authority's.
      key: A PEM file of its private key, not encrypted.
      client_ca: A PEM file of authorities: a client must have a certificate signed by one of them. None requires none.
    """

    def __init__(self, certificate: str, key: str, client_ca: str | None) -> None:
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
