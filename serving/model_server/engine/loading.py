"""Loads one version: verifies its files, loads them and warms the model up."""

from __future__ import annotations

import os

import grpc

from serving.model_server.engine import version_files, warmup
from serving.model_server.engine.servable import Servable
from serving.model_server.errors import ServingError
from serving.model_server.guard import background
from transform.errors import InputError, UserError


def load_version(path: str, num_threads: int) -> tuple[float, Servable]:
    """Loads and warms up a version; returns when its folder last changed, in seconds since 1970, and the servable."""
    pushed_at = os.stat(path).st_mtime
    version_files.verify(path)
    try:
        servable = Servable(path, num_threads)
    except ServingError as error:
        raise ServingError(error.code, f"a version must load. Received: {error.message} ({path})") from error
    try:
        warmup.warm_up(servable, path)
    except BaseException as error:
        servable.close()
        if isinstance(error, ServingError):
            text = f"a version must answer its warm-up requests. Received: {error.message} ({path})"
            raise ServingError(error.code, text) from error
        raise
    return pushed_at, servable


def discard(loaded: tuple[float, Servable]) -> None:
    """Frees a version that `load_version` returned too late."""
    background.start(loaded[1].close)


def load_error(error: Exception) -> ServingError:
    """Converts an error of a version or its folder to the one that a status request reports."""
    if isinstance(error, InputError):
        return ServingError(grpc.StatusCode.DATA_LOSS, str(error))
    if isinstance(error, TimeoutError):
        return ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, str(error))
    return ServingError(grpc.StatusCode.INTERNAL, reason(error))


def reason(error: Exception) -> str:
    """Returns an error's text for the log."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
