"""The file with the token that a server wants to see and a client sends."""

from __future__ import annotations

from transform.errors import InputError


def parse_token(content: bytes, path: str) -> str:
    """Takes a token from the bytes of its file, without the white space around it.

    Raises:
      InputError: If the file is empty, or has what an HTTP header cannot have.
    """
    token = content.decode("utf-8", "replace").strip()
    if not token:
        raise InputError(f"a token file must have a token. Received: an empty file ({path})")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise InputError(f"a token must be printable ASCII without spaces. Received: something else ({path})")
    return token
