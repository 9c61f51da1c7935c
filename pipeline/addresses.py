"""Addresses in messages: the user and the password of a URL reach no log, no report and no terminal."""

from __future__ import annotations

import contextlib
import logging
import re
import urllib.parse
from collections.abc import Iterator

#: A URL's user and password: up to the last `@` of the part before the path; or, after a `:` that no port follows, of
#: the whole word, as a password may have a `/` that should be `%2F`.
_CREDENTIALS = re.compile(r"(?<=://)(?:[^\s/@:\"']*:(?!\d+(?:[/?#]|\b))[^\s\"'<>]*|[^\s/?#\"'<>]*)@")


def without_credentials(text: str) -> str:
    """Returns a text without the users and passwords of the URLs in it: `https://a:b@host/x` becomes `https://host/x`."""
    return _CREDENTIALS.sub("", text)


def hidden_mistake(variable: str, address: str) -> str:
    """Returns a sentence on an address with credentials that is no URL, of which messages would repeat parts.

    Args:
      variable: The environment variable that holds it.
      address: Its value.

    Returns:
      The sentence, without any part of the address; empty if the address is a URL, or has no credentials.
    """
    if "@" not in address:
        return ""
    try:
        parts = urllib.parse.urlsplit(address)
        is_url = bool(parts.scheme and parts.hostname and "@" in parts.netloc and parts.port != 0)  # or it raises
    except ValueError:
        is_url = False
    if is_url and not re.search(r"\s", address):
        return ""
    return (
        f"{variable} must be SCHEME://USER:PASSWORD@HOST:PORT; characters such as / and # in a password are written as "
        "%2F and %23. What was received is not shown"
    )


class _Hiding(logging.Filter):
    """Removes the credentials from each record; it drops none."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_credentials(record.getMessage()), ()
        return True


@contextlib.contextmanager
def logged_without_credentials() -> Iterator[None]:
    """Within the block, what any package logs is without the credentials of URLs, as with the level `debug`."""
    hiding, handlers = _Hiding(), list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(hiding)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(hiding)
