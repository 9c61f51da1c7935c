"""The server's certificate, which can be replaced while the server runs."""

from __future__ import annotations

import ssl
from typing import Any

import grpc

from serving.pem import load_authority, load_pair
from serving.watched_files import Contents


class ServerCertificate:
    """A certificate, its key, and where clients must have one the authority of theirs: for both protocols.

    New connections get the newest; those that there are keep theirs.

    Args:
      certificate: A PEM file: the certificate, and those between it and its authority's.
      key: A PEM file with its private key, which is not encrypted.
      client_ca: A PEM file of certificates: a client must have one that one of these has signed. None asks for none.
    """

    def __init__(self, certificate: str, key: str, client_ca: str | None) -> None:
        self._pair, self._authorities = (certificate, key), (client_ca,) if client_ca else ()
        #: For the listener of REST.
        self.context = _NewestContext(ssl.PROTOCOL_TLS_SERVER)
        self._grpc: grpc.ServerCertificateConfiguration | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files whose bytes `take` takes."""
        return self._pair + self._authorities

    def take(self, contents: Contents) -> None:
        """Uses the bytes of the files for new connections from now on; raises InputError if they are not usable."""
        certificate, key, *client_ca = contents
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_pair(context, certificate, key, self._pair)
        for path, authority in zip(self._authorities, client_ca, strict=True):
            context.verify_mode = ssl.CERT_REQUIRED
            load_authority(context, authority, path)
        self.context.newest = context
        self._grpc = grpc.ssl_server_certificate_configuration([(key, certificate)], *client_ca)

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """For one port of gRPC, which asks at each new connection whether there is a newer certificate."""
        given = self._grpc

        def newer() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            if given is self._grpc:
                return None
            given = self._grpc
            return given

        return grpc.dynamic_ssl_server_credentials(given, newer, require_client_authentication=bool(self._authorities))


class _NewestContext(ssl.SSLContext):
    """Gives each connection to the newest context: a listener of asyncio has one context from its start to its end."""

    newest: ssl.SSLContext

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """What asyncio calls for each connection."""
        return self.newest.wrap_bio(*args, **kwargs)
