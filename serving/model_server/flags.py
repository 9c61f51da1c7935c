"""The model server's command-line options."""

from __future__ import annotations

import dataclasses
import os
from typing import TypeVar

from serving.model_server.engine.models import ModelConfig, local_path
from serving.model_server.protocol.config_files import read_models
from transform.errors import UserError

_Options = TypeVar("_Options")


@dataclasses.dataclass(frozen=True)
class Flags:
    """The options of `wdr serve`; its help explains each."""

    models: str | None
    model: tuple[str, ...]
    model_config_file: str | None
    model_config_poll_seconds: float
    monitoring_config_file: str | None
    label: tuple[str, ...]
    specific: tuple[str, ...]
    keep_versions: int
    host: str
    grpc_port: int
    rest_port: int
    poll_seconds: float
    retry_seconds: float
    settle_seconds: float
    load_seconds: float
    num_threads: int
    max_waiting: int
    max_waiting_elements: int
    max_batch: int
    max_elements: int
    max_message_bytes: int
    max_connections: int
    timeout_seconds: float
    grace_seconds: float
    connection_age_seconds: float | None
    tls_certificate: str | None
    tls_key: str | None
    tls_client_ca: str | None
    token_file: str | None
    operator_token_file: str | None
    admin_port: int | None
    admin_host: str

    def configs(self) -> list[ModelConfig]:
        """Reads which models to serve: those named and the folders in `--models`; or those of the configuration file.

        Raises:
          UserError: If an option is malformed, an option names a model that is not served, or there is no model.
        """
        if self.model_config_file is not None:
            others = {
                "--models": self.models,
                "--model": self.model,
                "--label": self.label,
                "--specific": self.specific,
            }
            if given := [option for option, value in others.items() if value]:
                raise UserError(f"`--model-config-file` must be alone. Received beside it: {', '.join(given)}")
            return read_models(self.model_config_file)
        folders = dict(_split(text, "--model", "NAME=DIR", "=") for text in self.model)
        if self.models is not None:
            names = sorted(entry.name for entry in os.scandir(self.models) if _may_be_a_model(entry))
            folders |= {name: os.path.join(self.models, name) for name in names if not name.startswith(".")}
        if self.models is None and not folders:
            raise UserError("there must be a model to serve: a folder in `--models DIR`, or `--model NAME=DIR`")
        labels: dict[str, dict[str, int]] = {name: {} for name in folders}
        specific: dict[str, list[int]] = {name: [] for name in folders}
        for text in self.label:
            target, version = _split(text, "--label", "NAME:LABEL=VERSION", "=")
            name, label = _split(target, "--label", "NAME:LABEL=VERSION", ":")
            _of(labels, name, "--label")[label] = _version(version, "--label")
        for text in self.specific:
            name, version = _split(text, "--specific", "NAME=VERSION", "=")
            _of(specific, name, "--specific").append(_version(version, "--specific"))
        return [
            ModelConfig(
                _as_text(name),
                os.path.abspath(local_path(folder)),
                self.keep_versions,
                tuple(specific[name]),
                labels[name],
            )
            for name, folder in folders.items()
        ]


def _may_be_a_model(entry: os.DirEntry[str]) -> bool:
    # What a symbolic link leads to may hang: whoever scans this model's folder reports what is wrong with it.
    return entry.is_symlink() or entry.is_dir()


def _as_text(name: str) -> str:
    """A folder's name as a model's: bytes that are not UTF-8 are escaped, as a backslash, an x and two digits."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _split(text: str, option: str, form: str, separator: str) -> tuple[str, str]:
    left, found, right = text.partition(separator)
    if not found or not left or not right:
        raise UserError(f"`{option}` must be of the form {form}. Received: {text}")
    return left, right


def _version(text: str, option: str) -> int:
    if not text.isdecimal():
        raise UserError(f"`{option}` must have a version, a number. Received: {text}")
    return int(text)


def _of(by_model: dict[str, _Options], name: str, option: str) -> _Options:
    if name not in by_model:
        raise UserError(f"`{option}` must name a model that is served: {', '.join(by_model)}. Received: {name}")
    return by_model[name]
