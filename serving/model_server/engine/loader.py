"""Loads a model's wanted versions, and unloads versions that are no longer wanted.

A thread of low priority verifies, loads and warms up a version while the previous one serves. The new version takes
over between two requests, and the previous one is unloaded once its last request is answered. A broken version is
refused, with the reason in the log; the version below it stays, or is loaded.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from serving.model_server.engine import version_files
from serving.model_server.engine.models import AVAILABLE, END, LOADING, UNLOADING, ModelConfig, ServedVersions, Version
from serving.model_server.engine.servable import Servable
from serving.model_server.engine.version_files import VersionFiles
from serving.model_server.errors import ServingError
from serving.model_server.guard import background
from serving.model_server.logs import FolderLog, log
from transform.errors import InputError, UserError

_R = TypeVar("_R")

#: Loads the version in a folder; returns when the folder last changed, in seconds since 1970, and the loaded model.
Load = Callable[[str], tuple[float, Servable]]

#: The time limit for reading a folder; a local one takes milliseconds.
_LOOK_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class LoadSettings:
    """How versions are loaded.

    Attributes:
      retry_seconds: A version that could not be loaded is tried again after this time.
      settle_seconds: How long the files of a version without a manifest must have been unchanged.
      load_seconds: A version that takes longer to load is refused.
    """

    retry_seconds: float
    settle_seconds: float
    load_seconds: float


def waits(number: int) -> str:
    """The log message about an incomplete version."""
    return f"version {number} waits until it is complete"


class Loader:
    """Loads and unloads versions. Use it only in the event loop's thread.

    Attributes:
      settings: How versions are loaded.
      folder_log: The log of problems of models' folders.
      reads: The reads of files.
    """

    def __init__(
        self, served: ServedVersions, load: Load, settings: LoadSettings, on_change: Callable[[], Awaitable[None]]
    ) -> None:
        """Makes a loader that has loaded nothing yet.

        Args:
          served: The models and versions that serve.
          load: Loads a version, or raises an error; called in a thread of its own.
          settings: How versions are loaded.
          on_change: Called after each change of the loaded versions.
        """
        self.settings = settings
        self.folder_log = FolderLog()
        self.reads = background.BoundedReads()
        self._served = served
        self._load_model = load
        self._on_change = on_change
        self._unloads: set[asyncio.Task[None]] = set()

    async def look(self, path: str, function: Callable[..., _R], *arguments: object) -> _R:
        """Runs a function that reads names, sizes and times of a folder's files; raises OSError if it hangs."""
        return await self.reads.within(_LOOK_SECONDS, "a folder must be read", path, function, *arguments)

    async def load_requested(
        self,
        config: ModelConfig,
        existing: dict[int, str],
        known: dict[int, Version],
        seen: dict[int, VersionFiles],
        *,
        staged: bool = False,
    ) -> set[int]:
        """Loads the wanted versions that are not loaded, or whose files were replaced.

        Args:
          config: The model.
          existing: The folder names of the existing versions, by version.
          known: The model's versions; those that are loaded are added.
          seen: An empty dict, to which the files of the inspected versions are added.
          staged: Whether a loaded version that is replaced continues to serve.

        Returns:
          The wanted versions that are complete and were not refused.
        """
        while True:
            requested = config.requested(set(existing) - self._refused(known, seen))
            left = requested - seen.keys()
            if not left:
                return requested
            number = max(left)
            path = os.path.join(config.folder, existing[number])
            files = await self.look(path, version_files.inspect, path, self.settings.settle_seconds)
            seen[number] = files
            version = known.get(number)
            serves = version is not None and version.state == AVAILABLE
            if files.unfinished:
                if not serves:
                    self.folder_log.say(config.name, waits(number), reason=files.unfinished)
                continue
            self.folder_log.end(config.name, waits(number))
            if version is None or version.state == END or (serves and version.files != files.fingerprint):
                await self._load(Version(config.name, number, path, files.fingerprint), known, staged)

    def _refused(self, known: dict[int, Version], seen: dict[int, VersionFiles]) -> set[int]:
        """The versions that are not loaded and cannot be loaded now.

        They are unfinished, or were refused and are not yet to be tried again.
        """
        now = asyncio.get_running_loop().time()
        refused = {n for n, version in known.items() if version.error and version.retry_at > now}
        unfinished = {n for n, files in seen.items() if files.unfinished}
        return {n for n in refused | unfinished if n not in known or known[n].state != AVAILABLE}

    async def _load(self, version: Version, known: dict[int, Version], staged: bool) -> None:
        """Loads a version; it replaces one of the same number that serves only if it loads.

        Args:
          version: The version.
          known: The model's versions, to which it is added.
          staged: Whether the version that it replaces continues to serve.
        """
        now = asyncio.get_running_loop().time()
        replaced = known.get(version.number)
        if replaced and replaced.state != AVAILABLE:
            replaced = None
        if replaced and replaced.refused_files == version.files and replaced.retry_at > now:
            return
        version.state = LOADING
        if not replaced:
            known[version.number] = version
        started = time.monotonic()
        try:
            loaded = await self.reads.within(
                self.settings.load_seconds,
                "a version must load",
                version.path,
                self._load_model,
                version.path,
                # At full priority if nothing serves yet.
                behind_requests=self._served.latest(version.model) is not None,
                discard=lambda late: background.start(late[1].close),
            )
        except Exception as error:  # whatever is wrong with a version, the server continues without it
            version.error = error if isinstance(error, ServingError) else load_error(error)
            retry_at = asyncio.get_running_loop().time() + self.settings.retry_seconds
            if replaced:
                replaced.refused_files, replaced.retry_at = version.files, retry_at
            version.state, version.retry_at = END, retry_at
            reason = version.error.message
            log("error", "a version was refused", model=version.model, version=version.number, reason=reason)
        else:
            version.pushed_at, version.servable = loaded
            version.state = AVAILABLE
            known[version.number] = version
            if replaced and not staged:
                self.start_unload(replaced)
            seconds = round(time.monotonic() - started, 3)
            log(
                "info",
                "a version is loaded" if staged else "a version serves",
                model=version.model,
                version=version.number,
                seconds=seconds,
            )
        await self._on_change()

    def start_unload(self, version: Version) -> None:
        """Starts to unload a version that serves: it takes no more requests, and is freed after its last one."""
        version.state = UNLOADING
        task = asyncio.create_task(self._unload(version))
        self._unloads.add(task)
        task.add_done_callback(self._unloads.discard)

    async def _unload(self, version: Version) -> None:
        await self._on_change()
        await version.drained()
        servable, version.servable = version.servable, None
        assert servable is not None
        # The process keeps the memory for the next load: `malloc_trim`, which would return it to the system, delays a
        # concurrent request by 8 ms.
        await background.start(servable.close, behind_requests=True)
        version.state = END
        log("info", "a version was dropped", model=version.model, version=version.number)
        await self._on_change()

    async def finish_unloads(self) -> None:
        """Waits until the versions whose unloading has started are unloaded."""
        await asyncio.gather(*self._unloads)


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
