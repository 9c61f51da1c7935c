"""The ranking client's settings. `wdr tune-client` writes them as a JSON file, which the other commands read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

from transform.errors import InputError


class _Rule(NamedTuple):
    """What a setting must be, as text, and whether a value is that."""

    text: str
    holds: Callable[[Any], bool]


def _text(least: int = 0, most: int = 10_000) -> _Rule:
    length = f"a text of {least:,} to {most:,} characters"
    return _Rule(length, lambda value: isinstance(value, str) and least <= len(value) <= most)


def _whole(least: int, most: int) -> _Rule:
    rule = f"a whole number from {least} to {most:,}"
    return _Rule(rule, lambda value: type(value) is int and least <= value <= most)


def _optional(rule: _Rule) -> _Rule:
    return _Rule(f"{rule.text}, or absent", lambda value: value is None or rule.holds(value))


_SECONDS = _Rule(
    "a number of seconds above 0, at most 3,600",
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 3600,
)
_COUNT = _whole(1, 2**31 - 1)
_PATH = _optional(_text(1))


@dataclasses.dataclass(frozen=True)
class ClientSettings:
    """The ranking client's settings.

    Raises:
      InputError: If a value breaks its rule.

    Attributes:
      model: The model's name.
      server: The model server's gRPC address, `HOST:PORT`. If the host name has several addresses, calls are sent to
        them round-robin.
      version: Call this version; None calls the server's newest.
      label: Call the version with this label, such as `stable`; excludes `version`.
      deadline_seconds: The budget of a whole ranking, retries included.
      max_attempts: The most copies of a call. Only a call that reached no server (UNAVAILABLE), or one that stops
        (CANCELLED), is sent again, or one that has to be answered by the version of an earlier answer and reached a
        server without it (NOT_FOUND). Any other failure is final: the call may already have cost the server its time,
        or would fail again.
      backoff_seconds: The mean wait before the first retry; it doubles with each further one.
      hedge_after_seconds: Send a further copy of a call that has no answer after this time, and take the first answer;
        None sends no further copies. Set to the 95th percentile of the latency, it costs 5 % more calls.
      part_size: Split more candidates than this into parallel calls; None always makes one call. The best value depends
        on the server's processors: `wdr tune-client` measures it.
      max_candidates: More candidates are refused.
      max_example_bytes: A longer tf.Example, of the context or of an item, is refused.
      max_request_bytes: A longer call is refused; gRPC's receivers accept 4 MiB unless configured otherwise.
      strict: Refuse a context or an item with a feature that the model does not have, or a context with several values
        for a feature that is not a list. Otherwise the ranking carries a warning, since a renamed feature must not stop
        all requests.
      item_id_feature: The feature that holds the item id, for a model without the signature `rank`, which reads the id
        from the example; None if the candidates' item features already have it.
      ca_certificate: A PEM file of the authority that signed the server's certificate; None connects without TLS.
      client_certificate: A PEM file of the client's certificate, for a server that requires one (mutual TLS); None
        presents none. It and its key are read when a client is created.
      client_key: A PEM file of the certificate's private key, not encrypted.
      token_file: A file with the token that the server requires; None sends none. It is read again when it changes.
    """

    # Each type is annotated with the setting's rule.
    model: Annotated[str, _text(1, 1000)]
    server: Annotated[str, _text(1, 1000)] = "127.0.0.1:8500"
    version: Annotated[int | None, _optional(_whole(1, 2**63 - 1))] = None
    label: Annotated[str | None, _optional(_text(1, 1000))] = None
    deadline_seconds: Annotated[float, _SECONDS] = 1.0
    max_attempts: Annotated[int, _whole(1, 10)] = 3
    backoff_seconds: Annotated[float, _SECONDS] = 0.02
    hedge_after_seconds: Annotated[float | None, _optional(_SECONDS)] = None
    part_size: Annotated[int | None, _optional(_COUNT)] = None
    max_candidates: Annotated[int, _COUNT] = 10_000
    max_example_bytes: Annotated[int, _COUNT] = 100_000
    max_request_bytes: Annotated[int, _COUNT] = 4 * 1024 * 1024
    strict: Annotated[bool, _Rule("true or false", lambda value: isinstance(value, bool))] = False
    item_id_feature: Annotated[str | None, _optional(_text())] = None
    ca_certificate: Annotated[str | None, _PATH] = None
    client_certificate: Annotated[str | None, _PATH] = None
    client_key: Annotated[str | None, _PATH] = None
    token_file: Annotated[str | None, _PATH] = None

    def __post_init__(self) -> None:
        for name, rule in _RULES.items():
            value = getattr(self, name)
            if not rule.holds(value):
                raise InputError(f"`{name}` must be {rule.text}. Received: {_shown(value)}")
        if self.version is not None and self.label is not None:
            raise InputError(f"`version` or `label` can be given. Received: {self.version} and {self.label!r}")
        if (self.client_certificate is None) != (self.client_key is None):
            raise InputError(
                "`client_certificate` and `client_key` go together. "
                f"Received: {self.client_certificate!r} and {self.client_key!r}"
            )
        if self.client_certificate is not None and self.ca_certificate is None:
            raise InputError(
                "a client's certificate needs `ca_certificate`, by which the server is known. Received: none"
            )


#: The rule of each setting.
_RULES: dict[str, _Rule] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(ClientSettings, include_extras=True).items()
}


def _shown(value: object) -> str:
    """Returns a value as a message shows it; Python converts no integer of more than 4,300 digits to text."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length():,} bits"
    return repr(value)[:100]


def read_settings(path: str) -> ClientSettings:
    """Reads a settings file; raises InputError if it breaks a rule."""
    try:
        values = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"the client's settings must be JSON. Received: {error} ({path})") from error
    if not isinstance(values, dict):
        raise InputError(f"the client's settings must be a JSON object. Received: {type(values).__name__} ({path})")
    return _made(values, path)


def make_settings(path: str | None, **given: Any) -> ClientSettings:
    """Makes settings from a file and from the values given beside it.

    Args:
      path: A settings file; None takes the defaults.
      **given: Values that replace the file's; None replaces nothing.

    Raises:
      InputError: If they break a rule, or no model was given.
    """
    values = {name: value for name, value in given.items() if value is not None}
    before = {} if path is None else dataclasses.asdict(read_settings(path))
    return _made({**before, **values}, "the client's settings")


def write_settings(settings: ClientSettings, path: str) -> None:
    """Writes a settings file."""
    Path(path).write_text(json.dumps(dataclasses.asdict(settings), indent=2) + "\n", encoding="utf-8")


def _made(values: dict[str, Any], where: str) -> ClientSettings:
    """Makes settings of values by name; an InputError says where they are from."""
    unknown = sorted(values.keys() - _RULES.keys())
    if unknown:
        raise InputError(f"a setting must be one of {sorted(_RULES)}. Received: {unknown[0][:100]!r} ({where})")
    if "model" not in values:
        raise InputError(f"`model` must be given. Received: none ({where})")
    try:
        return ClientSettings(**values)
    except InputError as error:
        raise InputError(f"{error} ({where})") from error
