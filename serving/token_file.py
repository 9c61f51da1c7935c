"""Reads the bearer tokens that a server accepts and a client sends."""

from __future__ import annotations

from transform.errors import InputError

#: A server compares each request's header with every token.
_MAX_TOKENS = 10


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
