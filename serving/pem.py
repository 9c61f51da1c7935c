"""PEM files of certificates and keys, checked before they are used."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from typing import NoReturn

from transform.errors import InputError


def load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes, paths: tuple[str, str]) -> None:
    """Gives a context a certificate and its key.

    Args:
      context: Who shows it.
      certificate: In PEM, with those between it and its authority's.
      key: Its private key, in PEM, not encrypted.
      paths: The two files, for the sentence.

    Raises:
      InputError: If they are not that.
    """

    def no_password() -> NoReturn:
        raise InputError(f"the key of a certificate must not be encrypted. Received: a key that is ({paths[1]})")

    # OpenSSL takes these from files alone; gRPC takes bytes, which must be the ones that were found good.
    with _in_memory(certificate) as certificate_path, _in_memory(key) as key_path:
        try:
            context.load_cert_chain(certificate_path, key_path, no_password)
        except ssl.SSLError as error:
            raise InputError(
                "a certificate and its key must be PEM files of one pair. "
                f"Received: {error.reason} ({', '.join(paths)})"
            ) from error


def load_authority(context: ssl.SSLContext, certificates: bytes, path: str) -> None:
    """Gives a context those whose signature it trusts.

    Args:
      context: Who trusts them.
      certificates: In PEM.
      path: Their file, for the sentence.

    Raises:
      InputError: If there are none.
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
    """The path of a file with this content that is on no disk."""
    with open(os.memfd_create("pem"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
