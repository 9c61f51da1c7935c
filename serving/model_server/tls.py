"""The server's certificate, which can be replaced while the server runs."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from typing import Any, NoReturn

import grpc

from serving.model_server.watched_files import Contents
from transform.errors import InputError


class ServerCertificate:
    """A certificate, its key, and where clients must have one the authority of theirs: for both protocols.

    New connections get the newest; those that there are keep theirs.

    Args:
      certificate: A PEM file: the certificate, and those between it and its authority's.
      key: A PEM file with its private key, which is not encrypted.
      client_ca: A PEM file of certificates: a client must have one that one of these has signed. None asks for none.
    """

    def __init__(self, certificate: str, key: str, client_ca: str | None) -> None:
        self.paths = (certificate, key, *((client_ca,) if client_ca else ()))
        #: For the listener of REST.
        self.context = _NewestContext(ssl.PROTOCOL_TLS_SERVER)
        self._grpc: grpc.ServerCertificateConfiguration | None = None

    def take(self, contents: Contents) -> None:
        """Uses the bytes of the files for new connections from now on; raises InputError if they are not usable."""
        certificate, key, *client_ca = contents
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # OpenSSL reads these from files alone, and what it approves must be what gRPC gets, which takes bytes.
        with _in_memory(certificate) as certificate_path, _in_memory(key) as key_path:
            try:
                context.load_cert_chain(certificate_path, key_path, _no_password)
            except ssl.SSLError as error:
                raise InputError(
                    "the certificate and its key must be PEM files of one pair. "
                    f"Received: {error.reason} ({self.paths[0]}, {self.paths[1]})"
                ) from error
        for authority in client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            with _in_memory(authority) as path:
                try:
                    context.load_verify_locations(path)
                except ssl.SSLError as error:
                    raise InputError(
                        "the authority of the clients' certificates must be a PEM file of certificates. "
                        f"Received: {error.reason} ({self.paths[2]})"
                    ) from error
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

        return grpc.dynamic_ssl_server_credentials(given, newer, require_client_authentication=len(self.paths) > 2)


class _NewestContext(ssl.SSLContext):
    """Gives each connection to the newest context: a listener of asyncio has one context from its start to its end."""

    newest: ssl.SSLContext

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """What asyncio calls for each connection."""
        return self.newest.wrap_bio(*args, **kwargs)


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """The path of a file with this content that is on no disk."""
    with open(os.memfd_create("pem"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _no_password() -> NoReturn:
    raise InputError("the certificate's key must not be encrypted. Received: a key that is")
