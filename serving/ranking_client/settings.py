"""The ranking client's settings. `wdr tune-client` writes them as a JSON file, which the other commands read."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from transform.errors import InputError
from transform.feature_spec import STRICT

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=STRICT)
class ClientSettings:
    """The ranking client's settings.

    Attributes:
      model: The model's name.
      server: The model server's gRPC address, `HOST:PORT`. If the host name has several addresses, calls are sent to
        them round-robin.
      version: Call this version; None calls the server's newest.
      label: Call the version with this label, such as `stable`; excludes `version`.
      deadline_seconds: The budget of a whole ranking, retries included.
      max_attempts: The most copies of a call. Only a call that reached no server (UNAVAILABLE) is sent again. Any other
        failure is final: the call may already have cost the server its time, or would fail again.
      backoff_seconds: The mean wait before the first retry; it doubles with each further one.
      hedge_after_seconds: Send a further copy of a call that has no answer after this time, and take the first answer;
        None sends no further copies. Set to the 95th percentile of the latency, it costs 5 % more calls.
      part_size: Split more candidates than this into parallel calls; None always makes one call. The best value depends
        on the server's processors: `wdr tune-client` measures it.
      max_candidates: More candidates are refused.
      max_example_bytes: A longer tf.Example, of the context or of an item, is refused.
      max_request_bytes: A longer call is refused; gRPC's receivers accept 4 MiB unless configured otherwise.
      strict: Refuse a context with a feature that the model does not have, or with several values for a feature that is
        not a list. Otherwise the ranking carries a warning, since a renamed feature must not stop all requests.
      item_id_feature: The feature that holds the item id, for a model without the signature `rank`, which reads the id
        from the example; None if the candidates' item features already have it.
      ca_certificate: A PEM file of the authority that signed the server's certificate; None connects without TLS.
      client_certificate: A PEM file of the client's certificate, for a server that requires one (mutual TLS); None
        presents none. It and its key are read when a client is created.
      client_key: A PEM file of the certificate's private key, not encrypted.
      token_file: A file with the token that the server requires; None sends none. It is read again when it changes.
    """

    model: Annotated[str, Field(min_length=1, max_length=1000)]
    server: Annotated[str, Field(min_length=1)] = "127.0.0.1:8500"
    version: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    label: Annotated[str, Field(min_length=1)] | None = None
    deadline_seconds: Seconds = 1.0
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    backoff_seconds: Seconds = 0.02
    hedge_after_seconds: Seconds | None = None
    part_size: Count | None = None
    max_candidates: Count = 10_000
    max_example_bytes: Count = 100_000
    max_request_bytes: Annotated[int, Field(ge=1, lt=2**31)] = 4 * 1024 * 1024
    strict: bool = False
    item_id_feature: str | None = None
    ca_certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    token_file: str | None = None

    @model_validator(mode="after")
    def _one_version(self) -> ClientSettings:
        if self.version is not None and self.label is not None:
            raise ValueError(f"`version` or `label` can be given. Received: {self.version} and {self.label!r}")
        return self

    @model_validator(mode="after")
    def _whole_certificate(self) -> ClientSettings:
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError(
                "`client_certificate` and `client_key` go together. "
                f"Received: {self.client_certificate!r} and {self.client_key!r}"
            )
        if self.client_certificate is not None and self.ca_certificate is None:
            raise ValueError("a client's certificate needs `ca_certificate`, by which the server is known")
        return self


_ADAPTER = TypeAdapter(ClientSettings)


def read_settings(path: str) -> ClientSettings:
    """Reads a settings file; raises InputError if it breaks a rule."""
    with _in_a_sentence(path):
        return _ADAPTER.validate_json(Path(path).read_bytes())


def make_settings(path: str | None, **given: Any) -> ClientSettings:
    """Makes settings from a file and from the values given beside it.

    Args:
      path: A settings file; None takes the defaults.
      **given: Values that replace the file's; None replaces nothing.

    Returns:
      The settings.

    Raises:
      InputError: If they break a rule, or no model was given.
    """
    values = {name: value for name, value in given.items() if value is not None}
    with _in_a_sentence("the client's settings"):
        if path is not None:
            return dataclasses.replace(read_settings(path), **values)
        return _ADAPTER.validate_python(values)


def write_settings(settings: ClientSettings, path: str) -> None:
    """Writes a settings file."""
    Path(path).write_bytes(_ADAPTER.dump_json(settings, indent=2) + b"\n")


@contextlib.contextmanager
def _in_a_sentence(where: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise InputError(f"{key}: {first['msg']}. Received: {str(first['input'])[:100]} ({where})") from error
