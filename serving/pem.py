"""Checks PEM files of certificates and keys, and loads them into an SSL context."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from typing import NoReturn

from transform.errors import InputError


def load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes, paths: tuple[str, str]) -> None:
    """Loads a certificate and its private key into an SSL context.

    Args:
      context: The context that presents the certificate.
      certificate: The certificate in PEM, with the intermediate certificates up to its authority's.
      key: The private key in PEM, not encrypted.
      paths: The two files' paths, for the error message.

    Raises:
      InputError: If the two are not a PEM certificate and its key, or the key is encrypted.
    """

    def no_password() -> NoReturn:
        raise InputError(f"the key of a certificate must not be encrypted. Received: a key that is ({paths[1]})")

    # OpenSSL reads only from files, but gRPC takes bytes. The file in memory has the same bytes that gRPC gets.
    with _in_memory(certificate) as certificate_path, _in_memory(key) as key_path:
        try:
            context.load_cert_chain(certificate_path, key_path, no_password)
        except ssl.SSLError as error:
            raise InputError(
                "a certificate and its key must be PEM files of one pair. "
                f"Received: {error.reason} ({', '.join(paths)})"
            ) from error


def load_authority(context: ssl.SSLContext, certificates: bytes, path: str) -> None:
    """Loads the certificates of trusted authorities into an SSL context.

    Args:
      context: The context that trusts them.
      certificates: The certificates in PEM.
      path: Their file's path, for the error message.

    Raises:
      InputError: If the bytes hold no PEM certificates.
    """
    with _in_memory(certificates) as certificates_path:
        try:
            context.load_verify_locations(certificates_path)
        except ssl.SSLError as error:
            raise InputError(
                f"an authority must be a PEM file of certificates. Received: {error.reason} ({path})"
            ) from error


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Yields the path of an in-memory file with this content; nothing is written to disk."""
    with open(os.memfd_create("pem"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
