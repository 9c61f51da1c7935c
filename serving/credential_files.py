"""Files of bearer tokens, and PEM files of certificates and keys: checked, loaded, and read again when they change."""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from transform.errors import InputError, UserError

#: The bytes of each file.
Contents: TypeAlias = tuple[bytes, ...]

#: Takes a log level, a message, and a reason or None.
Report: TypeAlias = Callable[[str, str, str | None], None]

_MAX_BYTES = 1 << 20

#: A server compares each request's header with every token.
_MAX_TOKENS = 10


class WatchedFiles:
    """A group of files that are read and replaced together.

    A change is found by comparing bytes, since a file that replaces another may have the same size and time.

    Args:
      what: The files' name in log messages, such as `the callers' token`.
      paths: The files.
      take: Called with the files' bytes, first in the constructor. From then on, if it raises UserError or OSError, the
        new bytes are refused.
      report: Called when new bytes are taken (`info`, a message, None) or refused (`error`, a message, the reason).
      looks: New bytes are taken once this many checks in a row have found the same bytes. With two, a half-written file
        or a new certificate beside the old key is seldom taken.

    Raises:
      InputError: If a file has more than 1 MiB.
      OSError: If a file cannot be read.
    """

    def __init__(
        self, what: str, paths: Sequence[str], take: Callable[[Contents], None], report: Report, looks: int = 2
    ) -> None:
        self._what, self._paths, self._take, self._report, self._looks = what, paths, take, report, looks
        self._taken = tuple(_first_bytes(path) for path in paths)
        take(self._taken)
        self._last: Contents | str = self._taken
        self._found_times = 0
        self._refused: Contents | str | None = None

    def check(self) -> None:
        """Checks the files. New bytes that cannot be used change nothing, and are reported once."""
        found = self._look()
        self._found_times = self._found_times + 1 if found == self._last else 1
        self._last = found
        if found == self._taken:
            self._refused = None
        elif self._found_times >= self._looks:
            self._replace(found)

    def _look(self) -> Contents | str:
        """The files' bytes, or the reason why they cannot be read."""
        try:
            return tuple(_bytes(path) for path in self._paths)
        except (UserError, OSError) as error:
            return str(error)

    def _replace(self, found: Contents | str) -> None:
        try:
            if isinstance(found, str):
                raise InputError(found)
            self._take(found)
        except (UserError, OSError) as error:
            if found != self._refused:
                self._report("error", f"{self._what} cannot be read again; the earlier stays in use", str(error))
            self._refused = found
        else:
            self._taken, self._refused = found, None
            self._report("info", f"{self._what} was read again", None)


def _first_bytes(path: str) -> bytes:
    """Reads a file of any kind. A file that is not regular, such as a shell's `<(command)`, can be read only once."""
    with Path(path).open("rb") as file:
        return _bounded(file.read(_MAX_BYTES + 1), path)


def _bytes(path: str) -> bytes:
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # non-blocking: does not wait for a pipe's writer
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise InputError(f"a file must be a regular one to be read again. Received: another kind ({path})")
        with open(number, "rb", closefd=False) as file:
            return _bounded(file.read(_MAX_BYTES + 1), path)
    finally:
        os.close(number)


def _bounded(content: bytes, path: str) -> bytes:
    if len(content) > _MAX_BYTES:
        raise InputError(f"a token or a certificate must have at most {_MAX_BYTES} bytes. Received: more ({path})")
    return content


def parse_tokens(content: bytes, path: str) -> tuple[str, ...]:
    """Parses a token file's content, one token per line.

    A server accepts any of the tokens; a client sends the first. An operator can therefore add a new token beside the
    old one, and no call is refused while the clients change over.

    Raises:
      InputError: If the file is empty, has more than 10 tokens, or has a token that is not printable ASCII without
        spaces, as an HTTP header requires.
    """
    tokens = content.decode("utf-8", "replace").split("\n")
    tokens = [token.strip() for token in tokens if token.strip()]
    if not tokens:
        raise InputError(f"a token file must have a token. Received: an empty file ({path})")
    if len(tokens) > _MAX_TOKENS:
        raise InputError(
            f"a token file must have at most {_MAX_TOKENS} tokens, one a line. Received: {len(tokens)} ({path})"
        )
    if not all(token.isascii() and token.isprintable() and " " not in token for token in tokens):
        raise InputError(f"a token must be printable ASCII without spaces. Received: something else ({path})")
    return tuple(tokens)


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
