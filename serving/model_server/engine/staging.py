"""Staging: loads versions for a new configuration while the current ones serve.

They take over together, or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import grpc

from serving.model_server.engine import version_files
from serving.model_server.engine.loader import Loader, load_error
from serving.model_server.engine.models import AVAILABLE, ModelConfig, ServedVersions, Version
from serving.model_server.engine.version_files import VersionFiles
from serving.model_server.errors import ServingError, not_found
from serving.model_server.guard import background
from transform.errors import InputError

#: How often an incomplete version is checked again while a new configuration waits for it.
_STAGING_SECONDS = 0.2


class _NoFolderError(ServingError):
    """A model of a new configuration has no folder; an error of the configuration, not of a version."""


class Staging:
    """Loads the versions of models that a new configuration adds or changes."""

    def __init__(self, served: ServedVersions, loader: Loader) -> None:
        self._served = served
        self._loader = loader

    async def stage(self, config: ModelConfig) -> dict[int, Version]:
        """Loads a model's versions for a configuration, without serving them.

        Raises:
          OSError, InputError: If its folder cannot be read.
          ServingError: If none of its versions loads.
        """
        current = self._served.configs.get(config.name)
        serves = self._served.by_model.get(config.name, {}) if current and current.folder == config.folder else {}
        known = {number: version for number, version in serves.items() if version.state == AVAILABLE}
        try:
            await self._load_staged(config, known)
        except BaseException:
            self._discard(config.name, known)
            raise
        return known

    async def _load_staged(self, config: ModelConfig, known: dict[int, Version]) -> None:
        """Loads a model's versions for a configuration, and adds them to `known`, which has the loaded ones."""
        give_up_at = asyncio.get_running_loop().time() + self._loader.settings.load_seconds
        while True:
            try:
                existing = await self._loader.look(config.folder, version_files.list_versions, config.folder)
            except FileNotFoundError as error:
                raise _NoFolderError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"Could not find base path {config.folder} for servable {config.name}",
                ) from error
            seen: dict[int, VersionFiles] = {}
            requested = await self._loader.load_requested(config, existing, known, seen, staged=True)
            if any(known[number].state == AVAILABLE for number in requested if number in known):
                return
            unfinished = [number for number, files in seen.items() if files.unfinished]
            if not unfinished or asyncio.get_running_loop().time() > give_up_at:
                break
            await asyncio.sleep(_STAGING_SECONDS)
        refused = [version for version in known.values() if version.error]
        if refused:
            version = max(refused, key=lambda version: version.number)
            assert version.error is not None
            raise ServingError(version.error.code, f"version {version.number}: {version.error.message}")
        raise not_found(f"Unable to find a numerical version path for servable {config.name} at: {config.folder}")

    def check_labels(self, requested: dict[str, ModelConfig], staged: dict[str, dict[int, Version]]) -> None:
        """Raises ServingError if a label's version is not available, as staged or as it serves."""
        for name, config in requested.items():
            known = staged.get(name, self._served.by_model.get(name, {}))
            for number in config.labels.values():
                if number not in known or known[number].state != AVAILABLE:
                    raise ServingError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, which is not currently "
                        "available for inference",
                    )

    def discard(self, staging: dict[str, asyncio.Task[dict[int, Version]]]) -> None:
        """Frees the versions that were staged, since the configuration does not take effect."""
        for name, task in staging.items():
            if task.done() and not task.cancelled() and not task.exception():
                self._discard(name, task.result())

    def _discard(self, name: str, staged: dict[int, Version]) -> None:
        """Frees a model's staged versions that neither serve nor are being unloaded, after they served."""
        serves = self._served.by_model.get(name, {}).values()
        for version in staged.values():
            if version.servable and version.state == AVAILABLE and version not in serves:
                background.start(version.servable.close, behind_requests=True)

    def take_over(self, name: str, staged: dict[int, Version]) -> None:
        """Serves a model's staged versions; unloads those that they replace. The next update unloads all others."""
        known = self._served.by_model.setdefault(name, {})
        for number, version in staged.items():
            replaced = known.get(number)
            known[number] = version
            if replaced and replaced is not version and replaced.state == AVAILABLE:
                self._loader.start_unload(replaced)
        self._served.looked_at.add(name)


def check_staged(names: Iterable[str], results: Sequence[object]) -> None:
    """Raises an error, worded as TF Serving's, if any model did not load.

    Raises:
      ServingError: If there are any.
    """
    failed: list[tuple[str, Exception]] = []
    for name, error in zip(names, results, strict=True):
        if not isinstance(error, BaseException):
            continue
        if isinstance(error, _NoFolderError) or not isinstance(error, ServingError | OSError | InputError):
            raise error
        failed.append((name, error))
    if failed:
        texts = "".join(f"{{{{name: {name}}} due to error: {_status(error)}}}, " for name, error in failed)
        raise ServingError(grpc.StatusCode.UNKNOWN, f"{len(failed)} model(s) did not become available: {{{texts}}}")


def _status(error: Exception) -> str:
    """Formats an error as TensorFlow formats a status, such as `NOT_FOUND: there is no such folder`."""
    found = error if isinstance(error, ServingError) else load_error(error)
    return f"{found.code.name}: {found.message}"
