"""Manages the served models: loads new versions, resolves which version answers, and unloads old versions.

A thread of low priority verifies, loads and warms up a version while the previous one serves. The new version takes
over between two requests, and the previous one is unloaded once its last request is answered. A broken version is
refused, with the reason in the log; the version below it stays, or is loaded. Each model has its own task, and files
are read in threads of their own: a folder that hangs or cannot be read delays no other model.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

import grpc
from tensorflow_serving.apis import model_pb2

from serving.model_server import background, version_files, warmup
from serving.model_server.errors import ServingError, invalid, not_found
from serving.model_server.logs import log
from serving.model_server.models import ModelConfig
from serving.model_server.servable import Servable
from serving.model_server.version import AVAILABLE, END, LOADING, UNLOADING, Version
from serving.model_server.version_files import VersionFiles
from transform.errors import InputError, UserError

_R = TypeVar("_R")

#: How often an incomplete version is checked again while a new configuration waits for it.
_STAGING_SECONDS = 0.2

#: The time limit for reading a folder; a local one takes milliseconds.
_LOOK_SECONDS = 10.0

#: The log message about a model's folder.
_UNREADABLE = "a model's folder cannot be read"


def _waits(number: int) -> str:
    """The log message about an incomplete version."""
    return f"version {number} waits until it is complete"


class _NoFolderError(ServingError):
    """A model of a new configuration has no folder; an error of the configuration, not of a version."""


class Manager:
    """All models and their versions. Use it only in the event loop's thread."""

    def __init__(
        self,
        find_models: Callable[[], Iterable[ModelConfig]],
        num_threads: int,
        retry_seconds: float,
        settle_seconds: float,
        load_seconds: float,
    ) -> None:
        """Makes a manager that has loaded nothing yet.

        Args:
          find_models: Returns the models to serve. It is called at each poll, until `reconfigure` sets other models.
          num_threads: The number of threads that share a matrix product.
          retry_seconds: A version that could not be loaded is tried again after this time.
          settle_seconds: How long the files of a version without a manifest must have been unchanged.
          load_seconds: A version that takes longer to load is refused.
        """
        self._num_threads = num_threads
        self._retry_seconds = retry_seconds
        self._settle_seconds = settle_seconds
        self._load_seconds = load_seconds
        self._find_models: Callable[[], Iterable[ModelConfig]] | None = find_models
        self._configs = {config.name: config for config in find_models()}
        self._versions: dict[str, dict[int, Version]] = {}
        self._updates: dict[str, asyncio.Task[Any]] = {}
        self._unloads: set[asyncio.Task[None]] = set()
        self._overdue: set[str] = set()
        #: Each model and message logged about its folder that still holds, so that it is logged only once.
        self._said: set[tuple[str, str]] = set()
        self._looked_at: set[str] = set()
        self._was_ready = False
        self._was_started = False
        self._reconfiguring = asyncio.Lock()
        #: Called after each change of the loaded versions.
        self.on_change: Callable[[], Awaitable[None]] = _nothing

    @property
    def configs(self) -> dict[str, ModelConfig]:
        """The models to serve, by name."""
        return self._configs

    @property
    def ready(self) -> bool:
        """Whether a version answers, and every model with a complete version has been served or refused once.

        A model that appears later does not change this.
        """
        if self._looked_at >= self._configs.keys():
            self._was_ready = self._was_ready or any(self.latest(name) for name in self._configs)
        return self._was_ready and any(self.latest(name) for name in self._configs)

    @property
    def started(self) -> bool:
        """Whether every initial model has been checked once: it is served, refused, or has no complete version."""
        self._was_started = self._was_started or self._looked_at >= self._configs.keys()
        return self._was_started

    @property
    def overdue(self) -> list[str]:
        """The paths that a thread is still reading or loading after its time limit."""
        return sorted(self._overdue)

    def versions(self, model: str) -> list[Version]:
        """A model's known versions, newest first as in TF Serving."""
        return [version for _, version in sorted(self._versions.get(model, {}).items(), reverse=True)]

    def all_versions(self) -> list[Version]:
        """The known versions of all models."""
        return [version for versions in self._versions.values() for version in versions.values()]

    def latest(self, model: str) -> Version | None:
        """The version that answers requests that name none; None if there is none."""
        return next((version for version in self.versions(model) if version.state == AVAILABLE), None)

    def resolve(self, spec: model_pb2.ModelSpec) -> Version:
        """Resolves the version that answers a request.

        Raises:
          ServingError: If there is none. The code is UNAVAILABLE while the first models load: it may still appear.
        """
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice is None:
            version, wanted = self.latest(spec.name), f"Latest({spec.name})"
        else:
            number = self.number(spec)
            version, wanted = self._versions.get(spec.name, {}).get(number), f"Specific({spec.name}, {number})"
        if version is None or version.state != AVAILABLE:
            self.check_started()
            raise not_found(f"Servable not found for request: {wanted}")
        return version

    def check_started(self) -> None:
        """Raises UNAVAILABLE while the first models load; TF Serving's ports are still closed at that time."""
        if not self.started:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE, "the model server is still loading its first models; try again"
            )

    def number(self, spec: model_pb2.ModelSpec) -> int:
        """The number of the version that a request names, by number or by label.

        Raises:
          ServingError: If the model has no such label.
        """
        if spec.WhichOneof("version_choice") == "version":
            return int(spec.version.value)
        config = self._configs.get(spec.name)
        if config is None or spec.version_label not in config.labels:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        return config.labels[spec.version_label]

    async def reconfigure(self, configs: Iterable[ModelConfig]) -> None:
        """Serves other models or versions from now on, or changes nothing; returns once they are loaded.

        The versions of models that are new or changed are loaded first, while the current ones serve. Cancelling the
        caller does not cancel the change.

        Raises:
          ServingError: If none of such a model's versions loads, or a label's version is not available.
        """
        task = asyncio.create_task(self._reconfigure({config.name: config for config in configs}))
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # the caller may be gone
        await asyncio.shield(task)

    async def _reconfigure(self, wanted: dict[str, ModelConfig]) -> None:
        async with self._reconfiguring:
            changed = {name for name in {*wanted, *self._configs} if wanted.get(name) != self._configs.get(name)}
            while busy := [self._updates[name] for name in changed if name in self._updates]:
                await asyncio.wait(busy)  # updates by the old configuration
            staging = {name: asyncio.create_task(self._stage(wanted[name])) for name in sorted(changed & wanted.keys())}
            self._updates |= staging  # so that no other task updates these models
            try:
                try:
                    results = await asyncio.gather(*staging.values(), return_exceptions=True)
                    _check_staged(staging, results)
                    staged = {name: task.result() for name, task in staging.items()}
                    self._check_labels(wanted, staged)
                except BaseException:
                    self._discard_staged(staging)
                    raise
                self._find_models, self._configs = None, wanted
                for name, known in staged.items():
                    self._take_over(name, known)
            finally:
                for name in staging:
                    del self._updates[name]
            while busy := [self._updates[name] for name in changed if name in self._updates]:
                await asyncio.wait(busy)  # updates of removed models, which the old configuration began meanwhile
            updates = self._start_updates()
        await asyncio.gather(*(updates[name] for name in changed if name in updates))
        await self.on_change()

    async def _stage(self, config: ModelConfig) -> dict[int, Version]:
        """Loads a model's versions for a configuration, without serving them.

        Raises:
          OSError, InputError: If its folder cannot be read.
          ServingError: If none of its versions loads.
        """
        current = self._configs.get(config.name)
        serves = self._versions.get(config.name, {}) if current and current.folder == config.folder else {}
        known = {number: version for number, version in serves.items() if version.state == AVAILABLE}
        try:
            await self._load_staged(config, known)
        except BaseException:
            self._discard(config.name, known)
            raise
        return known

    async def _load_staged(self, config: ModelConfig, known: dict[int, Version]) -> None:
        """Loads a model's versions for a configuration, and adds them to `known`, which has the loaded ones."""
        give_up_at = asyncio.get_running_loop().time() + self._load_seconds
        while True:
            try:
                there = await self._within(_LOOK_SECONDS, config.folder, version_files.versions_of, config.folder)
            except FileNotFoundError as error:
                raise _NoFolderError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"Could not find base path {config.folder} for servable {config.name}",
                ) from error
            seen: dict[int, VersionFiles] = {}
            wanted = await self._load_wanted(config, there, known, seen, staged=True)
            if any(known[number].state == AVAILABLE for number in wanted if number in known):
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

    def _check_labels(self, wanted: dict[str, ModelConfig], staged: dict[str, dict[int, Version]]) -> None:
        for name, config in wanted.items():
            known = staged.get(name, self._versions.get(name, {}))
            for number in config.labels.values():
                if number not in known or known[number].state != AVAILABLE:
                    raise ServingError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, which is not currently "
                        "available for inference",
                    )

    def _discard_staged(self, staging: dict[str, asyncio.Task[dict[int, Version]]]) -> None:
        for name, task in staging.items():
            if task.done() and not task.cancelled() and not task.exception():
                self._discard(name, task.result())

    def _discard(self, name: str, staged: dict[int, Version]) -> None:
        """Frees a model's staged versions that do not serve."""
        serves = self._versions.get(name, {}).values()
        for version in staged.values():
            if version.servable and version not in serves:
                background.start(version.servable.close, behind_requests=True)

    def _take_over(self, name: str, staged: dict[int, Version]) -> None:
        """Serves a model's staged versions; unloads those that they replace. The next update unloads all others."""
        known = self._versions.setdefault(name, {})
        for number, version in staged.items():
            replaced = known.get(number)
            known[number] = version
            if replaced and replaced is not version and replaced.state == AVAILABLE:
                self._start_unload(replaced)
        self._looked_at.add(name)

    async def watch(self, seconds: float) -> None:
        """Polls the folders forever, at this interval in seconds: loads new versions and unloads old ones."""
        while True:
            if self._find_models:
                try:
                    found = await self._within(_LOOK_SECONDS, "the models' folders", self._find_models)
                except (OSError, UserError) as error:  # a share, or a model with a label, is missing: it may come back
                    self._say("", "the models' folders cannot be read", reason=_reason(error))
                else:
                    self._said -= {said for said in self._said if not said[0]}
                    self._configs |= self._still_wanted(found)
            self._start_updates()
            await asyncio.sleep(seconds)

    def _still_wanted(self, found: Iterable[ModelConfig]) -> dict[str, ModelConfig]:
        """The models found in the folders, by name; empty if `reconfigure` was called meanwhile."""
        return {config.name: config for config in found} if self._find_models else {}

    def _start_updates(self) -> dict[str, asyncio.Task[Any]]:
        """Starts an update of each model that has none running; returns all running updates by model."""
        for name in {*self._configs, *self._versions}:
            if name not in self._updates:
                task = self._updates[name] = asyncio.create_task(self._look_after(name))
                task.add_done_callback(functools.partial(self._end_update, name))
        return dict(self._updates)

    def _end_update(self, name: str, task: asyncio.Task[Any]) -> None:
        del self._updates[name]

    async def _look_after(self, name: str) -> None:
        try:
            await self._update(name, self._configs.get(name))
        except (OSError, InputError) as error:  # the loaded versions stay
            self._say(name, _UNREADABLE, reason=_reason(error))
        else:
            self._said.discard((name, _UNREADABLE))
        if name not in self._looked_at:
            self._looked_at.add(name)
            await self.on_change()

    def _forget(self, model: str, there: Collection[int]) -> None:
        """Forgets what was logged about a model's versions that are gone."""
        kept = {_UNREADABLE, *map(_waits, there)}
        self._said = {(name, message) for name, message in self._said if name != model or message in kept}

    def _say(self, model: str, message: str, **fields: object) -> None:
        """Logs a problem of a model's folder, once for as long as it lasts."""
        if (model, message) not in self._said:
            self._said.add((model, message))
            log("error", message, **({"model": model} if model else {}), **fields)

    async def _update(self, name: str, config: ModelConfig | None) -> None:
        known = self._versions.setdefault(name, {})
        there: dict[int, str] = {}
        if config:
            there = await self._within(_LOOK_SECONDS, config.folder, version_files.versions, config.folder)
        self._forget(name, there)
        for number in [n for n, version in known.items() if version.state == END and n not in there]:
            del known[number]
        wanted = await self._load_wanted(config, there, known, {}) if config else set()
        if config and not any(version.state == AVAILABLE for n, version in known.items() if n in wanted):
            return  # keep the loaded versions, rather than serve nothing
        for number, version in known.items():
            if version.state == AVAILABLE and number not in wanted:
                self._start_unload(version)
        if not config and not known:
            del self._versions[name]

    async def _load_wanted(
        self,
        config: ModelConfig,
        there: dict[int, str],
        known: dict[int, Version],
        seen: dict[int, VersionFiles],
        *,
        staged: bool = False,
    ) -> set[int]:
        """Loads the wanted versions that are not loaded, or whose files were replaced.

        Args:
          config: The model.
          there: The folder names of the existing versions, by version.
          known: The model's versions; those that are loaded are added.
          seen: An empty dict, to which the files of the inspected versions are added.
          staged: Whether a loaded version that is replaced continues to serve.

        Returns:
          The wanted versions that are complete and were not refused.
        """
        while True:
            wanted = config.wanted(set(there) - self._refused(known, seen))
            left = wanted - seen.keys()
            if not left:
                return wanted
            number = max(left)
            path = os.path.join(config.folder, there[number])
            files = await self._within(_LOOK_SECONDS, path, version_files.inspect, path, self._settle_seconds)
            seen[number] = files
            version = known.get(number)
            serves = version is not None and version.state == AVAILABLE
            if files.unfinished:
                if not serves:
                    self._say(config.name, _waits(number), reason=files.unfinished)
                continue
            self._said.discard((config.name, _waits(number)))
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
            loaded = await self._within(
                self._load_seconds,
                version.path,
                _load,
                version.path,
                self._num_threads,
                behind_requests=self.latest(version.model) is not None,  # at full priority if nothing serves yet
                discard=_discard,
            )
        except Exception as error:  # whatever is wrong with a version, the server continues without it
            version.error = error if isinstance(error, ServingError) else _load_error(error)
            retry_at = asyncio.get_running_loop().time() + self._retry_seconds
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
                self._start_unload(replaced)
            seconds = round(time.monotonic() - started, 3)
            log(
                "info",
                "a version is loaded" if staged else "a version serves",
                model=version.model,
                version=version.number,
                seconds=seconds,
            )
        await self.on_change()

    async def _within(
        self,
        seconds: float,
        path: str,
        function: Callable[..., _R],
        *arguments: object,
        behind_requests: bool = False,
        discard: Callable[[_R], object] | None = None,
    ) -> _R:
        """Runs a function that reads files in a thread, and waits for it for a limited time.

        Args:
          seconds: The time limit.
          path: The path that it reads.
          function: The function.
          arguments: Its arguments.
          behind_requests: Whether its thread has a low priority.
          discard: Called with a result that is too late.

        Raises:
          OSError: If the time is up, or an earlier call for the same path is still running; and whatever the function
            raises.
        """
        if path in self._overdue:
            raise TimeoutError(f"an earlier read of it hangs ({path})")
        future = background.start(function, *arguments, behind_requests=behind_requests)

        def end_overdue(future: asyncio.Future[_R]) -> None:
            self._overdue.discard(path)
            if discard and not future.exception():
                discard(future.result())

        try:
            await asyncio.wait([future], timeout=seconds)
        finally:
            if not future.done():  # late, or this task was cancelled
                self._overdue.add(path)
                future.add_done_callback(end_overdue)
        if not future.done():
            what = "a version must load" if function is _load else "a folder must be read"
            raise TimeoutError(f"{what} within {seconds:g} seconds ({path})")
        return future.result()

    def _start_unload(self, version: Version) -> None:
        version.state = UNLOADING
        task = asyncio.create_task(self._unload(version))
        self._unloads.add(task)
        task.add_done_callback(self._unloads.discard)

    async def _unload(self, version: Version) -> None:
        await self.on_change()
        await version.drained()
        servable, version.servable = version.servable, None
        assert servable is not None
        # The process keeps the memory for the next load: `malloc_trim`, which would return it to the system, delays a
        # concurrent request by 8 ms.
        await background.start(servable.close, behind_requests=True)
        version.state = END
        log("info", "a version was dropped", model=version.model, version=version.number)
        await self.on_change()

    async def close(self, seconds: float) -> None:
        """Unloads all versions. The requests have been answered; computations that no one waits for are aborted.

        Args:
          seconds: The longest wait for versions that are being loaded.
        """
        self._find_models, self._configs = None, {}
        if self._updates:
            await asyncio.wait(self._updates.values(), timeout=seconds)
        for task in self._updates.values():
            task.cancel()
        for version in self.all_versions():
            if version.servable:
                version.servable.cancel()
            if version.state == AVAILABLE:
                self._start_unload(version)
        await asyncio.gather(*self._unloads)


def _check_staged(names: Iterable[str], results: Sequence[object]) -> None:
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
    found = error if isinstance(error, ServingError) else _load_error(error)
    return f"{found.code.name}: {found.message}"


async def _nothing() -> None:
    return


def _load(path: str, num_threads: int) -> tuple[float, Servable]:
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


def _discard(loaded: tuple[float, Servable]) -> None:
    background.start(loaded[1].close)


def _load_error(error: Exception) -> ServingError:
    if isinstance(error, InputError):
        return ServingError(grpc.StatusCode.DATA_LOSS, str(error))
    if isinstance(error, TimeoutError):
        return ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, str(error))
    return ServingError(grpc.StatusCode.INTERNAL, _reason(error))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
