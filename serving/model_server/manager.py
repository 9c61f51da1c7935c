"""The models that are served: loads versions as they appear, says which one answers, drops those that are old.

A version is verified, loaded and warmed up beside the one that serves, by a thread of low priority, and takes over
between two requests. The old one is dropped once its last request is answered. A version that is broken is refused with
a sentence in the log; the one below it stays, or is loaded. Each model is looked after by a task of its own, and files
are read in threads of their own: a folder that hangs or cannot be read holds up no other model.
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

#: How often a version that is not complete yet is looked at, while a new configuration waits for it.
_STAGING_SECONDS = 0.2

#: How long a look into a folder may take; a local one takes milliseconds.
_LOOK_SECONDS = 10.0

#: What is said of a model's folder.
_UNREADABLE = "a model's folder cannot be read"


def _waits(number: int) -> str:
    """What is said of a version that is not complete."""
    return f"version {number} waits until it is complete"


class _NoFolderError(ServingError):
    """A model of a new configuration has no folder; an error of the configuration, not of a version."""


class Manager:
    """All models and their versions. Its methods are for the event loop's thread."""

    def __init__(
        self,
        find_models: Callable[[], Iterable[ModelConfig]],
        num_threads: int,
        retry_seconds: float,
        settle_seconds: float,
        load_seconds: float,
    ) -> None:
        """Nothing is loaded yet.

        Args:
          find_models: The models; asked again at each look, until `reconfigure` says otherwise.
          num_threads: How many threads a matrix product is spread over.
          retry_seconds: After how long a version that could not be loaded is tried again.
          settle_seconds: For how long the files of a version without a manifest must not have changed.
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
        #: What was logged of a model's folder and still holds, so that a log has it once.
        self._said: set[tuple[str, str]] = set()
        self._looked_at: set[str] = set()
        self._was_ready = False
        self._was_started = False
        self._reconfiguring = asyncio.Lock()
        #: Called after each change of what is loaded.
        self.on_change: Callable[[], Awaitable[None]] = _nothing

    @property
    def configs(self) -> dict[str, ModelConfig]:
        """By name, the models that are to be served."""
        return self._configs

    @property
    def ready(self) -> bool:
        """Whether a version answers, and each model with a complete version was served or refused once.

        A model that appears later does not take it back.
        """
        if self._looked_at >= self._configs.keys():
            self._was_ready = self._was_ready or any(self.latest(name) for name in self._configs)
        return self._was_ready and any(self.latest(name) for name in self._configs)

    @property
    def started(self) -> bool:
        """Whether each model of the start was looked at once: served, refused, or without a complete version."""
        self._was_started = self._was_started or self._looked_at >= self._configs.keys()
        return self._was_started

    @property
    def overdue(self) -> list[str]:
        """The paths that a thread still reads or loads though nobody waits for it any more."""
        return sorted(self._overdue)

    def versions(self, model: str) -> list[Version]:
        """All that is known of a model's versions, newest first as TF Serving has them."""
        return [version for _, version in sorted(self._versions.get(model, {}).items(), reverse=True)]

    def all_versions(self) -> list[Version]:
        """All that is known of all models' versions."""
        return [version for versions in self._versions.values() for version in versions.values()]

    def latest(self, model: str) -> Version | None:
        """The version that answers a request that names none."""
        return next((version for version in self.versions(model) if version.state == AVAILABLE), None)

    def resolve(self, spec: model_pb2.ModelSpec) -> Version:
        """The version that answers a request.

        Raises:
          ServingError: If there is none; with UNAVAILABLE while the first models are loaded, since it may come.
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
        """Raises UNAVAILABLE while the first models are loaded: TF Serving opens its ports only then."""
        if not self.started:
            raise ServingError(
                grpc.StatusCode.UNAVAILABLE, "the model server is still loading its first models; try again"
            )

    def number(self, spec: model_pb2.ModelSpec) -> int:
        """The version that a request names, by number or by label.

        Raises:
          ServingError: If there is no such label.
        """
        if spec.WhichOneof("version_choice") == "version":
            return int(spec.version.value)
        config = self._configs.get(spec.name)
        if config is None or spec.version_label not in config.labels:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        return config.labels[spec.version_label]

    async def reconfigure(self, configs: Iterable[ModelConfig]) -> None:
        """Serves other models, or other versions, from now on, or changes nothing; returns once they are loaded.

        What a model that is new, or configured otherwise, is to serve is loaded first, beside what serves. It goes on
        if the caller is cancelled.

        Raises:
          ServingError: If such a model has no version that loads, or a label's version is not there.
        """
        task = asyncio.create_task(self._reconfigure({config.name: config for config in configs}))
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # the caller may have gone
        await asyncio.shield(task)

    async def _reconfigure(self, wanted: dict[str, ModelConfig]) -> None:
        async with self._reconfiguring:
            changed = {name for name in {*wanted, *self._configs} if wanted.get(name) != self._configs.get(name)}
            while busy := [self._updates[name] for name in changed if name in self._updates]:
                await asyncio.wait(busy)  # by the old configuration
            staging = {name: asyncio.create_task(self._stage(wanted[name])) for name in sorted(changed & wanted.keys())}
            self._updates |= staging  # so that nothing else looks after them
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
                await asyncio.wait(busy)  # of models that go, begun by the old configuration meanwhile
            updates = self._start_updates()
        await asyncio.gather(*(updates[name] for name in changed if name in updates))
        await self.on_change()

    async def _stage(self, config: ModelConfig) -> dict[int, Version]:
        """A model's versions as a configuration wants them, loaded and not yet served.

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
        """Loads a model's versions as a configuration wants them, beside those in `known`, to which they are added."""
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
        """Serves a model's staged versions; those of the same numbers that serve go, the others at the next look."""
        known = self._versions.setdefault(name, {})
        for number, version in staged.items():
            replaced = known.get(number)
            known[number] = version
            if replaced and replaced is not version and replaced.state == AVAILABLE:
                self._start_unload(replaced)
        self._looked_at.add(name)

    async def watch(self, seconds: float) -> None:
        """Looks into the folders for ever, every so many seconds; loads what is new and lets go what is old."""
        while True:
            if self._find_models:
                try:
                    found = await self._within(_LOOK_SECONDS, "the models' folders", self._find_models)
                except (OSError, UserError) as error:  # a share, or a model with a label, is away: it may come back
                    self._say("", "the models' folders cannot be read", reason=_reason(error))
                else:
                    self._said -= {said for said in self._said if not said[0]}
                    self._configs |= self._still_wanted(found)
            self._start_updates()
            await asyncio.sleep(seconds)

    def _still_wanted(self, found: Iterable[ModelConfig]) -> dict[str, ModelConfig]:
        """The models found in the folders, by name; none if `reconfigure` was called meanwhile."""
        return {config.name: config for config in found} if self._find_models else {}

    def _start_updates(self) -> dict[str, asyncio.Task[Any]]:
        """Looks after each model that is not being looked after already; returns what looks after each, by name."""
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
        except (OSError, InputError) as error:  # what serves stays
            self._say(name, _UNREADABLE, reason=_reason(error))
        else:
            self._said.discard((name, _UNREADABLE))
        if name not in self._looked_at:
            self._looked_at.add(name)
            await self.on_change()

    def _forget(self, model: str, there: Collection[int]) -> None:
        """Drops what was said of a model's versions that are gone."""
        kept = {_UNREADABLE, *map(_waits, there)}
        self._said = {(name, message) for name, message in self._said if name != model or message in kept}

    def _say(self, model: str, message: str, **fields: object) -> None:
        """Logs what is wrong with a model's folder, once for as long as it lasts."""
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
            return  # what serves stays, rather than nothing
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
        """Loads the versions that are wanted and not loaded, or whose files were replaced.

        Args:
          config: The model.
          there: The names of the folders that there are, by version.
          known: Its versions; those that are loaded are added.
          seen: Empty; the files of the versions that were looked at are added.
          staged: Whether what a loaded version replaces goes on serving.

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
        """The versions that are not loaded now.

        Those that were refused and whose time to be tried again has not come, and those that are unfinished.
        """
        now = asyncio.get_running_loop().time()
        refused = {n for n, version in known.items() if version.error and version.retry_at > now}
        unfinished = {n for n, files in seen.items() if files.unfinished}
        return {n for n in refused | unfinished if n not in known or known[n].state != AVAILABLE}

    async def _load(self, version: Version, known: dict[int, Version], staged: bool) -> None:
        """Loads a version; one under its number that serves meanwhile is replaced only by one that loads.

        Args:
          version: The version.
          known: Its model's versions, to which it is added.
          staged: Whether what it replaces goes on serving.
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
                behind_requests=self.latest(version.model) is not None,  # where nothing serves: hurry
                discard=_discard,
            )
        except Exception as error:  # whatever is wrong with a version, the server goes on without it
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
        """Runs a function that reads files, and waits for it for a limited time.

        Args:
          seconds: How long to wait.
          path: What it reads.
          function: The function.
          arguments: Its arguments.
          behind_requests: Whether its thread has a low priority.
          discard: Called with a result that comes too late.

        Raises:
          OSError: If it takes longer, or if an earlier call for the same path still runs; and what the function raises.
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
        # Its pages stay with the process, for the next load: `malloc_trim`, which would give them back, makes a request
        # beside it wait 8 ms.
        await background.start(servable.close, behind_requests=True)
        version.state = END
        log("info", "a version was dropped", model=version.model, version=version.number)
        await self.on_change()

    async def close(self, seconds: float) -> None:
        """Drops all versions. The requests have been answered; what is computed for nobody is ended.

        Args:
          seconds: How long to wait for what is loaded at the moment.
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
    """Reports the models that did not load, in TF Serving's words.

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
    """An error as TensorFlow writes a status, such as `NOT_FOUND: there is no such folder`."""
    found = error if isinstance(error, ServingError) else _load_error(error)
    return f"{found.code.name}: {found.message}"


async def _nothing() -> None:
    return


def _load(path: str, num_threads: int) -> tuple[float, Servable]:
    """When a version's folder was last changed, in seconds since 1970, and the version, warm."""
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
