"""Request ids that callers cannot forge: 128 random bits and a MAC of them."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Sequence
from pathlib import Path

from transform.errors import InputError

_RANDOM_BYTES = _MAC_BYTES = 16

#: An id is base64url without padding: 32 bytes are 43 characters.
ID_LENGTH = 43

#: A key has at least as many characters as 128 random bits have in hexadecimal.
_MIN_KEY, _MAX_KEY_FILE_BYTES = 32, 1 << 16


class RequestIds:
    """Makes and verifies request ids.

    An id is base64url(random ‖ first 16 bytes of HMAC-SHA256(key, random)). The MAC says that the id was made by who
    has the key, not for which request: whether an event's item was shown in its request is known from the log.

    Args:
      keys: The keys. The first one makes ids, any one verifies them, so that a key can be replaced while the ids of the
        former are still in use.

    Raises:
      InputError: If there is no key.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise InputError("request ids need a key. Received: none")
        # A copy of a MAC that was begun with the key takes an eighth of the time of a new one.
        self._begun = tuple(hmac.new(key, digestmod="sha256") for key in keys)

    def new(self) -> str:
        """Returns a new id."""
        random = os.urandom(_RANDOM_BYTES)
        return base64.urlsafe_b64encode(random + _mac(self._begun[0], random))[:ID_LENGTH].decode()

    def are_ours(self, request_id: str) -> bool:
        """Whether an id was made with one of the keys; False for any other text."""
        if (decoded := _decoded(request_id)) is None:
            return False
        random, mac = decoded[:_RANDOM_BYTES], decoded[_RANDOM_BYTES:]
        return any(hmac.compare_digest(mac, _mac(begun, random)) for begun in self._begun)


def _mac(begun: hmac.HMAC, random: bytes) -> bytes:
    mac = begun.copy()
    mac.update(random)
    return mac.digest()[:_MAC_BYTES]


def _decoded(request_id: str) -> bytes | None:
    """An id's 32 bytes; None if it is no id. An id has one spelling; another last character may decode to the same."""
    if len(request_id) != ID_LENGTH:
        return None
    try:
        decoded = base64.b64decode(request_id.encode("ascii") + b"=", altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    return decoded if base64.urlsafe_b64encode(decoded)[:ID_LENGTH].decode() == request_id else None


def is_sampled(request_id: str, sample: float) -> bool:
    """Whether a log of a share of requests has a request: its id's first 8 characters, 48 random bits, are below it.

    Who reads events can tell by it that a request was not lost, but never to be logged.

    Args:
      request_id: An id that is ours.
      sample: The share, in [0, 1]. With 1 every request is logged, with 0 none.
    """
    return sample >= 1 or int.from_bytes(base64.urlsafe_b64decode(request_id[:8]), "big") < sample * 2**48


def read_keys(path: str) -> tuple[bytes, ...]:
    """Reads a file of keys, one a line; the first one makes ids.

    Raises:
      InputError: If the file has no key, is too long, or a key has fewer than 32 characters or is not printable ASCII.
      OSError: If it cannot be read.
    """
    with Path(path).open("rb") as file:
        content = file.read(_MAX_KEY_FILE_BYTES + 1)
    keys = tuple(line for line in content.split() if line)
    if len(content) > _MAX_KEY_FILE_BYTES or not keys:
        received = "no key" if not keys else f"more than {_MAX_KEY_FILE_BYTES:,} bytes"
        raise InputError(f"a file of log keys must have a key a line. Received: {received} ({path})")
    for number, key in enumerate(keys, 1):
        if len(key) < _MIN_KEY or not all(33 <= byte <= 126 for byte in key):
            raise InputError(
                f"a log key must have at least {_MIN_KEY} characters, printable ASCII without spaces. "
                f"Received: key {number} with {len(key)} bytes ({path})"
            )
    return keys
