"""The file with the token that a server wants to see and a client sends."""

from __future__ import annotations

from transform.errors import InputError

#: Each request's header is compared with each.
_MAX_TOKENS = 10


def parse_tokens(content: bytes, path: str) -> tuple[str, ...]:
    """Takes the tokens from the bytes of their file, one a line.

    A server takes any of them, a client sends the first: so a new token beside the old one refuses no call while the
    clients change over.

    Raises:
      InputError: If the file is empty, has too many, or has what an HTTP header cannot have.
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
